import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { listenersAt } from '../../../src/query/listener-match.ts';

const owner = { hostId: 'h', netns: '' };
const at = (address: string, netns = '', port = 80) => ({ hostId: 'h', netns, address, port });

describe('listenersAt', () => {
  it('takes the most specific socket', () => {
    const all = [at('::'), at('0.0.0.0'), at('10.0.0.1')];
    assert.deepEqual(listenersAt(owner, '10.0.0.1', 80, all), [at('10.0.0.1')]);
    assert.deepEqual(listenersAt(owner, '10.0.0.2', 80, all), [at('0.0.0.0')]);
    assert.deepEqual(listenersAt(owner, '2001:db8::1', 80, all), [at('::')]);
    assert.deepEqual(listenersAt(owner, '10.0.0.2', 80, [at('::')]), [at('::')]);
    assert.deepEqual(listenersAt(owner, '2001:db8::1', 80, [at('0.0.0.0')]), []);
  });

  it('minds port, host and namespace', () => {
    assert.deepEqual(listenersAt(owner, '10.0.0.1', 80, [at('0.0.0.0', '', 81)]), []);
    assert.deepEqual(listenersAt(owner, '10.0.0.1', 80, [at('0.0.0.0', 'net:1')]), []);
    assert.deepEqual(
      listenersAt({ hostId: 'other', netns: '' }, '10.0.0.1', 80, [at('0.0.0.0')]),
      [],
    );
  });
});
