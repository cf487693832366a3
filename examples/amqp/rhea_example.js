// Retained messages, wills and sessions with rhea: node rhea_example.js [amqp://127.0.0.1:5672]
//
// Needs `npm install rhea`.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const rhea = require('rhea');

const url = new URL(process.argv[2] || 'amqp://127.0.0.1:5672');
const QOS = 'x-opt-mqtt-qos';
const RETAIN = 'x-opt-retain-message';
const room = 'example/' + crypto.randomBytes(8).toString('hex');
const qos = (level) => rhea.types.wrap_ubyte(level);
const data = (text) => rhea.message.data_section(Buffer.from(text));
const text = (body) => Buffer.from(body.content).toString();

// Rhea tells what happens by events; these wait for the one that ends a step.
const step = (emitter, good, bad) => new Promise((resolve, reject) => {
    emitter.once(good, resolve);
    bad.forEach((name) => emitter.once(name, (context) => reject(context.error || new Error(name))));
});

async function connect(id) {
    const container = rhea.create_container({ id: id || crypto.randomBytes(8).toString('hex') });
    const connection = container.connect({ host: url.hostname, port: url.port || 5672, reconnect: false });
    await step(connection, 'connection_open', ['connection_error', 'disconnected']);
    return connection;
}

async function close(connection) {
    const closed = step(connection, 'connection_close', ['connection_error']);
    connection.close();
    await closed;
}

async function sender(connection, address, name) {
    const link = connection.open_sender({ target: { address }, name });
    await step(link, 'sendable', ['sender_error']);
    return link;
}

async function send(link, message) {
    const settled = step(link, 'accepted', ['rejected', 'released', 'sender_error']);
    link.send(message);
    await settled;
}

function receiver(connection, address) {
    const link = connection.open_receiver({ source: { address }, credit_window: 10 });
    const inbox = [];
    const waiting = [];
    link.on('message', ({ message }) => {
        if (waiting.length) waiting.shift()(message);
        else inbox.push(message);
    });
    const opened = step(link, 'receiver_open', ['receiver_error']);
    const take = () => new Promise((resolve) => {
        if (inbox.length) resolve(inbox.shift());
        else waiting.push(resolve);
    });
    return { opened, take };
}

async function retained() {
    const connection = await connect();
    const out = await sender(connection, room + '/state');
    // Kept as the last value of its topic.
    await send(out, { body: data('open'), durable: true, message_annotations: { [RETAIN]: true } });
    // Whoever comes later gets it first.
    const message = await receiver(connection, room + '/+').take();
    console.log('retained:', text(message.body), message.message_annotations[RETAIN]);
    assert(text(message.body) === 'open' && message.message_annotations[RETAIN]);
    // An empty one deletes it.
    await send(out, { body: data(''), message_annotations: { [RETAIN]: true } });
    await close(connection);
}

async function will() {
    const watching = await connect();
    const watcher = receiver(watching, room + '/door');
    await watcher.opened;
    const lastWords = {
        subject: 'will', to: room + '/door', body: data('gone'), durable: true,
        message_annotations: { [QOS]: qos(1), [RETAIN]: false },
    };
    // The name of the link is the client id. `send` returns when the will is on disk.
    const peaceful = await connect();
    const link = await sender(peaceful, '$mqtt.lwtservice', room + '-1');
    await send(link, lastWords);
    const detached = step(link, 'sender_close', ['sender_error']);
    link.close(); // in peace: nothing is published
    await detached;
    await close(peaceful);
    const lost = await connect();
    await send(await sender(lost, '$mqtt.lwtservice', room + '-2'), lastWords);
    await close(lost); // without a detach of the link: published, as if the socket had been cut
    const message = await watcher.take();
    console.log('will:', text(message.body));
    assert(text(message.body) === 'gone');
    await close(watching);
}

async function session() {
    const id = crypto.randomBytes(8).toString('hex');
    const publish = `$mqtt.to.${id}.publish`;
    const control = `$mqtt.to.${id}.control`;
    let connection = await connect(id);
    const answers = receiver(connection, control);
    await answers.opened;
    let service = await sender(connection, '$mqtt.subscriptionservice');
    const ask = (subject, more) => send(service, { subject, correlation_id: publish, body: null, ...more });
    await ask('subscribe', { body: { [room + '/news/#']: '1' } });
    await ask('list', { reply_to: control });
    const answer = await answers.take();
    console.log('subscriptions:', answer.body, answer.message_annotations['x-opt-mqtt-session-present']);
    assert.deepStrictEqual({ ...answer.body }, { [room + '/news/#']: '1' });
    await close(connection);
    // While the client is away, its session collects.
    const away = await connect();
    await send(await sender(away, room + '/news/1'), { body: data('hello'), durable: true });
    await close(away);
    connection = await connect(id);
    const message = await receiver(connection, publish).take();
    console.log('session:', message.to, text(message.body), message.message_annotations[QOS]);
    assert(message.to === room + '/news/1' && text(message.body) === 'hello');
    assert.strictEqual(message.message_annotations[QOS], 1);
    service = await sender(connection, '$mqtt.subscriptionservice');
    await ask('close');
    await close(connection);
}

(async () => {
    await retained();
    await will();
    await session();
    console.log('done');
})().catch((why) => {
    console.error(why);
    process.exit(1);
});
