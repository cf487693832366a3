// Scenarios with rhea: rhea_client.js SCENARIO PORT NAME [MORE]. NAME is a word of the row's own. The library lies in
// target/interop/node_modules.

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const rhea = require(path.join(__dirname, "../../target/interop/node_modules/rhea"));

const [scenario, port, name, ...more] = process.argv.slice(2);
const PATIENCE = 20_000;
const queue = "/queues/" + name;

// The next event of this name; an error of the link or the connection ends the wait.
function next(from, event) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no " + event)), PATIENCE);
    from.once(event, (context) => {
      clearTimeout(timer);
      resolve(context);
    });
  });
}

async function connect(options = {}, id) {
  const container = rhea.create_container(id ? { id } : {});
  const connection = container.connect({ host: "127.0.0.1", port: Number(port), reconnect: false, ...options });
  await next(connection, "connection_open");
  return connection;
}

// Messages of a receiver, one by one.
class Inbox {
  constructor(connection, source, options = {}) {
    this.came = [];
    this.takers = [];
    this.link = connection.open_receiver({ source, credit_window: 0, autoaccept: false, ...options });
    this.link.on("message", (context) => {
      const taker = this.takers.shift();
      if (taker) taker(context);
      else this.came.push(context);
    });
  }

  take() {
    if (this.came.length > 0) return Promise.resolve(this.came.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("nothing came")), PATIENCE);
      this.takers.push((context) => {
        clearTimeout(timer);
        resolve(context);
      });
    });
  }

  async one() {
    this.link.add_credit(1);
    return this.take();
  }
}

async function sender(connection, target, options = {}) {
  const link = connection.open_sender({ target, ...options });
  if (!link.sendable()) await next(link, "sendable");
  return link;
}

// Sends and waits for the outcome's name.
function send(link, message) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("no outcome")), PATIENCE);
    const outcomes = ["accepted", "rejected", "released", "modified"];
    const done = (outcome) => () => {
      clearTimeout(timer);
      outcomes.forEach((other) => link.removeAllListeners(other));
      resolve(outcome);
    };
    outcomes.forEach((outcome) => link.once(outcome, done(outcome)));
    link.send(message);
  });
}

// A coordinator's link, which the library does not know: 4.1 to 4.4 of the standard by hand.
class Control {
  constructor(connection) {
    this.link = connection.open_sender({ target: "coordinator" });
    this.link.local.attach.target = described(0x30, []);
  }

  // The state that the broker answers with.
  async say(code, fields) {
    if (!this.link.sendable()) await next(this.link, "sendable");
    const done = next(this.link, "settled");
    // A value within a value: by bytes, a list of one-byte sizes in the section for values.
    this.link.send(Buffer.from([0, 0x53, 0x77, 0, 0x53, code, ...fields]), undefined, 0);
    const { delivery } = await done;
    delivery.update(true);
    return delivery.remote_state;
  }

  async declare() {
    const state = await this.say(0x31, [0x45]);
    assert.equal(state.descriptor.value, 0x33);
    return rhea.types.unwrap(state.value[0]);
  }

  async discharge(id, fails) {
    const state = await this.say(0x32, [0xc0, id.length + 4, 2, 0xa0, id.length, ...id, fails ? 0x41 : 0x42]);
    assert.equal(state.constructor.composite_type, "accepted");
  }
}

const described = (code, fields) => rhea.types.wrap_described(fields, code);
const during = (id, outcome) => described(0x34, outcome ? [id, outcome] : [id]);
const text = (context) => (context.message.body.content ?? context.message.body).toString();

const scenarios = {
  probe() {},

  // Settled, unsettled, and settled by the receiver second, both ways.
  async settling() {
    const connection = await connect();
    const inbox = new Inbox(connection, queue, { rcv_settle_mode: 1, autosettle: false });
    for (const [snd, rcv] of [[0, 0], [0, 1], [2, 0]]) {
      const link = await sender(connection, queue, { snd_settle_mode: snd, rcv_settle_mode: rcv });
      assert.equal(await send(link, { body: "m" + snd + rcv, durable: true }), "accepted");
      const came = await inbox.one();
      assert.equal(text(came), "m" + snd + rcv);
      const settled = next(inbox.link, "settled");
      came.delivery.update(false, rhea.message.accepted().described());
      await settled;
      link.close();
    }
    const link = await sender(connection, queue, { snd_settle_mode: 1 });
    link.send({ body: "settled" });
    const settled = new Inbox(connection, queue, { snd_settle_mode: 1 });
    const came = await settled.one();
    assert.deepEqual([text(came), came.delivery.remote_settled], ["settled", true]);
    connection.close();
  },

  // Rejected, released, modified: who gets it then, and what is written on it.
  async outcomes() {
    const connection = await connect();
    const link = await sender(connection, queue);
    const inbox = new Inbox(connection, queue);
    for (const body of ["released", "failed", "rejected", "accepted"]) await send(link, { body, durable: true });
    let came = await inbox.one();
    assert.equal(text(came), "released");
    came.delivery.release();
    came = await inbox.one();
    assert.deepEqual([text(came), came.message.delivery_count ?? 0], ["released", 0]);
    came.delivery.accept();
    came = await inbox.one();
    assert.equal(text(came), "failed");
    came.delivery.modified({ delivery_failed: true, message_annotations: { "x-opt-seen": "yes" } });
    came = await inbox.one();
    assert.deepEqual([text(came), came.message.delivery_count], ["failed", 1]);
    assert.equal(came.message.message_annotations["x-opt-seen"], "yes");
    came.delivery.accept();
    came = await inbox.one();
    assert.equal(text(came), "rejected");
    came.delivery.reject({ condition: "my:condition", description: "no" });
    came = await inbox.one();
    assert.equal(text(came), "accepted");
    came.delivery.accept();
    connection.close();
  },

  // No more than credit, and a drain is answered.
  async credit() {
    const connection = await connect();
    const link = await sender(connection, queue);
    for (const body of ["1", "2", "3"]) await send(link, { body });
    const inbox = new Inbox(connection, queue);
    const came = await inbox.one();
    assert.deepEqual([text(came), inbox.link.credit], ["1", 0]);
    came.delivery.accept();
    const drained = next(inbox.link, "receiver_drained");
    inbox.link.drain = true;
    inbox.link.add_credit(10);
    await drained;
    const rest = [text(await inbox.take()), text(await inbox.take())];
    assert.deepEqual([rest, inbox.link.credit, inbox.came.length], [["2", "3"], 0, 0]);
    connection.close();
  },

  // An answer by a node of the broker's own making, and a sender without a target.
  async dynamic() {
    const [asks, serves] = [await connect(), await connect()];
    const service = new Inbox(serves, queue);
    const replies = new Inbox(asks, { dynamic: true });
    await next(replies.link, "receiver_open");
    const link = await sender(asks, queue);
    await send(link, { body: "question", reply_to: replies.link.source.address, correlation_id: "7" });
    const asked = await service.one();
    const anonymous = await sender(serves, {});
    const { reply_to, correlation_id } = asked.message;
    assert.equal(await send(anonymous, { to: reply_to, correlation_id, body: "answer" }), "accepted");
    const answer = await replies.one();
    assert.deepEqual([text(answer), answer.message.correlation_id], ["answer", "7"]);
    asks.close();
    serves.close();
  },

  // Ten megabytes both ways.
  async long() {
    const connection = await connect();
    const link = await sender(connection, queue);
    const body = Buffer.alloc(10_000_000, "0123456789");
    assert.equal(await send(link, { body: rhea.message.data_section(body), durable: true }), "accepted");
    const came = await new Inbox(connection, queue).one();
    assert.ok(came.message.body.content.equals(body));
    connection.close();
  },

  // A selector, and a copy that takes nothing away.
  async filters() {
    const connection = await connect();
    const link = await sender(connection, queue);
    for (const n of [1, 2, 3]) await send(link, { body: String(n), application_properties: { n } });
    const copies = new Inbox(connection, { address: queue, distribution_mode: "copy" });
    assert.equal(text(await copies.one()), "1");
    copies.link.close();
    const chosen = new Inbox(connection, { address: queue, filter: rhea.filter.selector("n >= 2") });
    const came = await chosen.one();
    assert.equal(text(came), "2");
    came.delivery.accept();
    const all = new Inbox(connection, queue);
    assert.equal(text(await all.one()), "1");
    connection.close();
  },

  // What is posted, and what is accepted, in a transaction that is given up never was; in one that is committed it was.
  async transactions() {
    const connection = await connect();
    const control = new Control(connection);
    const link = await sender(connection, queue);
    const post = (body, id) => {
      // The library sends no state with a transfer.
      const { session } = link;
      session.output = (frame, payload) => {
        if ("delivery_tag" in frame) {
          frame.rcv_settle_mode = null;
          frame.value[7] = during(id);
        }
        return Object.getPrototypeOf(session).output.call(session, frame, payload);
      };
      const done = next(link, "settled");
      link.send({ body });
      return done.finally(() => delete session.output);
    };
    for (const [bodies, commits] of [[["no", "never"], false], [["yes", "too"], true]]) {
      const id = await control.declare();
      for (const body of bodies) await post(body, id);
      await control.discharge(id, !commits);
    }
    for (const commits of [false, true]) {
      const own = await connect();
      const [inbox, control] = [new Inbox(own, queue), new Control(own)];
      const id = await control.declare();
      const came = [await inbox.one(), await inbox.one()];
      assert.deepEqual(came.map(text), ["yes", "too"]);
      came.forEach((one) => one.delivery.update(true, during(id, rhea.message.accepted().described())));
      // The library would write them behind the discharge.
      await new Promise(setImmediate);
      await control.discharge(id, !commits);
      own.close();
      await next(own, "connection_close");
    }
    await send(link, { body: "last" });
    assert.equal(text(await new Inbox(connection, queue).one()), "last");
    connection.close();
  },

  // By TLS and a password; a wrong one is told so.
  async doors() {
    const [ca, username, password] = more;
    const tls = { transport: "tls", host: "localhost", servername: "localhost", ca: [fs.readFileSync(ca)], username };
    const connection = await connect({ ...tls, password });
    await send(await sender(connection, queue), { body: "by TLS" });
    assert.equal(text(await new Inbox(connection, queue).one()), "by TLS");
    connection.close();
    const container = rhea.create_container();
    const wrong = container.connect({ ...tls, port: Number(port), password: "wrong", reconnect: false });
    const { error } = await next(wrong, "connection_error").catch(() => next(wrong, "disconnected"));
    assert.match(String(error ?? wrong.error), /auth/i);
  },

  // What is subscribed and unsettled when the broker stops.
  async leave() {
    const connection = await connect({}, name);
    const source = { address: name, durable: 2, expiry_policy: "never" };
    const inbox = new Inbox(connection, source, { name: "kept" });
    await next(inbox.link, "receiver_open");
    const link = await sender(connection, name);
    await send(link, { body: "1", durable: true });
    assert.equal(text(await inbox.one()), "1");
    const detached = next(inbox.link, "receiver_close").catch(() => {});
    inbox.link.detach();
    await Promise.race([detached, next(inbox.link, "receiver_detached").catch(() => {})]);
    await send(link, { body: "2", durable: true });
  },

  // It is there again, what was not settled first.
  async back() {
    const connection = await connect({}, name);
    const source = { address: name, durable: 2, expiry_policy: "never" };
    const inbox = new Inbox(connection, source, { name: "kept" });
    for (const body of ["1", "2"]) {
      const came = await inbox.one();
      assert.equal(text(came), body);
      came.delivery.accept();
    }
    connection.close();
  },
};

Promise.resolve(scenarios[scenario]()).then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
