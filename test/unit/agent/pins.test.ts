import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { pinDirectory } from '../../../src/agent/pins.ts';

const HOST = '00000000-0000-4000-8000-000000000001';

describe('the directory of pins', () => {
  it('is the same at each start', () => {
    const path = pinDirectory({ dataDir: '/var/lib/transtracer', netns: 'all' }, HOST);
    assert.match(path, /^\/sys\/fs\/bpf\/transtracer\/[0-9a-f]{12}-[0-9a-f]{12}$/);
    const again = pinDirectory({ dataDir: '/var/lib/../lib/transtracer/', netns: 'all' }, HOST);
    assert.equal(again, path);
  });

  it('is another for another agent', () => {
    const options = { dataDir: '/a', netns: 'all' } as const;
    const paths = [
      pinDirectory(options, HOST),
      pinDirectory({ ...options, dataDir: '/b' }, HOST),
      pinDirectory({ ...options, netns: 'own' }, HOST),
      pinDirectory(options, HOST.replace('1', '2')),
    ];
    assert.equal(new Set(paths).size, paths.length);
  });

  it('begins alike for all agents of a data directory', () => {
    const all = pinDirectory({ dataDir: '/a', netns: 'all' }, HOST);
    const own = pinDirectory({ dataDir: '/a', netns: 'own' }, HOST);
    assert.equal(all.split('-')[0], own.split('-')[0]);
  });
});
