// Scenarios with MQTT.js: mqttjs_client.js SCENARIO PORT VERSION NAME. VERSION is the protocol level, NAME a word of the
// row's own. The library lies in target/interop/node_modules.

const assert = require("node:assert");
const path = require("node:path");
const mqtt = require(path.join(__dirname, "../../target/interop/node_modules/mqtt"));

const [scenario, port, level, name] = process.argv.slice(2);
const version = Number(level);
const PATIENCE = 20_000;

// A queue that can be waited for.
class Inbox {
  constructor() {
    this.items = [];
    this.waiting = [];
  }

  put(item) {
    const taker = this.waiting.shift();
    if (taker) taker(item);
    else this.items.push(item);
  }

  take() {
    if (this.items.length > 0) return Promise.resolve(this.items.shift());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("nothing came")), PATIENCE);
      this.waiting.push((item) => {
        clearTimeout(timer);
        resolve(item);
      });
    });
  }
}

class Client {
  static async open(clientId, { kept = false, will } = {}) {
    const self = new Client();
    const options = { clientId, protocolVersion: version, clean: !kept, will, reconnectPeriod: 0 };
    if (version === 5) options.properties = { sessionExpiryInterval: kept ? 3600 : 0 };
    self.inbox = new Inbox();
    self.mqtt = mqtt.connect(`mqtt://127.0.0.1:${port}`, options);
    self.mqtt.on("message", (topic, payload, packet) => self.inbox.put({ topic, payload: payload.toString(), packet }));
    const connack = await new Promise((resolve, reject) => {
      self.mqtt.once("connect", resolve);
      self.mqtt.once("error", reject);
    });
    self.present = connack.sessionPresent;
    return self;
  }

  async subscribe(topic, qos) {
    const [granted] = await this.mqtt.subscribeAsync(topic, { qos });
    assert.strictEqual(granted.qos, qos);
  }

  async publish(topic, payload, qos, retain = false) {
    await this.mqtt.publishAsync(topic, payload, { qos, retain });
    // Nothing answers QoS 0; an answer to what follows it on this connection does.
    if (qos === 0) await this.mqtt.publishAsync(`${name}/sync`, "", { qos: 1 });
  }

  async expect(topic, payload, qos, retain = false) {
    const got = await this.inbox.take();
    assert.deepStrictEqual([got.topic, got.payload, got.packet.qos, got.packet.retain], [topic, payload, qos, retain]);
  }

  leave() {
    return this.mqtt.endAsync();
  }

  cut() {
    this.mqtt.stream.destroy();
  }
}

async function exchange() {
  const subscriber = await Client.open(`${name}s`);
  const publisher = await Client.open(`${name}p`);
  for (const granted of [0, 1, 2]) {
    const topic = `${name}/${granted}`;
    await subscriber.subscribe(topic, granted);
    for (const qos of [0, 1, 2]) {
      await publisher.publish(topic, `at ${qos}`, qos);
      await subscriber.expect(topic, `at ${qos}`, Math.min(qos, granted));
    }
  }
}

async function retained() {
  const publisher = await Client.open(`${name}p`);
  for (const qos of [0, 1, 2]) {
    const [topic, fence] = [`${name}/${qos}`, `${name}/fence/${qos}`];
    await publisher.publish(topic, "kept", qos, true);
    const first = await Client.open(`${name}a${qos}`);
    await first.subscribe(topic, 2);
    await first.expect(topic, "kept", qos, true);
    await publisher.publish(topic, "", qos, true);
    const second = await Client.open(`${name}b${qos}`);
    await second.subscribe(topic, 2);
    await second.subscribe(fence, 2);
    await publisher.publish(fence, "fence", 1);
    await second.expect(fence, "fence", 1);
  }
}

async function will() {
  const watcher = await Client.open(`${name}w`);
  for (const qos of [0, 1, 2]) {
    const topic = `${name}/${qos}`;
    await watcher.subscribe(topic, 2);
    (await Client.open(`${name}m${qos}`, { will: { topic, payload: "gone", qos, retain: false } })).cut();
    await watcher.expect(topic, "gone", qos);
  }
}

async function leave() {
  const subscriber = await Client.open(name, { kept: true });
  assert(!subscriber.present);
  await subscriber.subscribe(name, 2);
  await subscriber.leave();
  const publisher = await Client.open(`${name}p`);
  for (let number = 0; number < 20; number += 1) await publisher.publish(name, String(number), 1 + (number % 2));
  await publisher.publish(`${name}/retained`, "kept", 1, true);
  await publisher.leave();
}

async function back() {
  const subscriber = await Client.open(name, { kept: true });
  assert(subscriber.present);
  const got = [];
  while (got.length < 20) got.push(await subscriber.inbox.take());
  // The client hands a message of QoS 2 over when it is released: each QoS keeps its own order.
  for (const qos of [1, 2]) {
    const payloads = got.filter((message) => message.packet.qos === qos).map((message) => message.payload);
    assert.deepStrictEqual(payloads, Array.from({ length: 10 }, (_, at) => String(at * 2 + qos - 1)));
  }
  await subscriber.subscribe(`${name}/retained`, 1);
  await subscriber.expect(`${name}/retained`, "kept", 1, true);
  await subscriber.publish(`${name}/retained`, "", 1, true);
}

async function offline() {
  await leave();
  await back();
}

const scenarios = { exchange, retained, will, leave, return: back, offline };
if (scenario === "probe") process.exit(0);
scenarios[scenario]().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
