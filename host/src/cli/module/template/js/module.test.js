import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lifecycle, routing } from './module.js';

test('a message is marked', () => {
  lifecycle.configure('{}');
  const decision = routing.onPublish({ id: 'c1' }, { topic: 'a/b', userProperties: [] }, undefined);
  assert.equal(decision.verdict.tag, 'readdress');
  assert.deepEqual(decision.verdict.val.userProperties, [['seen-by', '{{name}}']]);
});
