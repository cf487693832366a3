// A module for Pliant: says on every message that it came through here.

// The engine has a `fetch` that ends the call without a word: modules in JavaScript ask no servers outside.
globalThis.fetch = () => {
  throw new Error('fetch is not there: modules in JavaScript ask no servers outside');
};

export const lifecycle = {
  // Called first on every fresh instance. To refuse a configuration, throw { kind: 'unspecified', reason: '...' }.
  configure(config) {
    JSON.parse(config);
    return {
      description: 'marks every message',
      version: '0.1.0',
      routing: { filters: [] },
      unflaggedRetain: undefined,
      retainByTopic: false,
      deliversAsIs: true,
      delivery: { filters: [] },
      tickMilliseconds: undefined,
    };
  },
};

export const routing = {
  onPublish(publisher, envelope, payload) {
    envelope.userProperties.push(['seen-by', '{{name}}']);
    return { verdict: { tag: 'readdress', val: envelope }, also: [] };
  },
};
