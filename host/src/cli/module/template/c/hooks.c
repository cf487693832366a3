// A module for Pliant: says on every message that it came through here.
//
// `build/module.h` is made of `wit/`: a function for each one to write, a type for each record. What comes in as an argument
// belongs to the function; what goes out is freed by the bindings, so it has to be on the heap.

#include <stdlib.h>
#include <string.h>

#include "module.h"

// Called first on every fresh instance. To refuse a configuration, fill in `err` and return false.
bool exports_pliant_broker_lifecycle_configure(module_string_t *config,
                                               exports_pliant_broker_lifecycle_manifest_t *ret,
                                               exports_pliant_broker_lifecycle_refusal_t *err) {
    (void)err;
    module_string_free(config);
    // No filters: every message; no ticks.
    memset(ret, 0, sizeof *ret);
    ret->delivers_as_is = true;
    module_string_dup(&ret->description, "marks every message");
    module_string_dup(&ret->version, "0.1.0");
    return true;
}

void exports_pliant_broker_routing_on_publish(exports_pliant_broker_routing_client_t *publisher,
                                              exports_pliant_broker_routing_envelope_t *envelope,
                                              exports_pliant_broker_routing_borrow_payload_t payload,
                                              exports_pliant_broker_routing_decision_t *ret) {
    exports_pliant_broker_routing_client_free(publisher);
    pliant_broker_types_payload_drop_borrow(payload);
    module_list_tuple2_string_string_t *properties = &envelope->user_properties;
    size_t bytes = (properties->len + 1) * sizeof *properties->ptr;
    properties->ptr = properties->len ? realloc(properties->ptr, bytes) : malloc(bytes);
    if (!properties->ptr) abort();
    module_tuple2_string_string_t *seen = &properties->ptr[properties->len++];
    module_string_dup(&seen->f0, "seen-by");
    module_string_dup(&seen->f1, "{{name}}");
    memset(ret, 0, sizeof *ret);
    ret->verdict.tag = EXPORTS_PLIANT_BROKER_ROUTING_VERDICT_READDRESS;
    ret->verdict.val.readdress = *envelope;
}
