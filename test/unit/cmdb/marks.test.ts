import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Marks } from '../../../src/cmdb/marks.ts';
import { bucket, flow, NOON } from '../../support/batches.ts';

const LATER = new Date(NOON.getTime() + 300_000);
const IDLE = { opened: 0, openAtStart: 0, openNow: 0 };

describe('marks of flows', () => {
  const used = flow({ flowId: '1', buckets: [bucket()] });
  const alsoFailed = flow({ flowId: '1', buckets: [bucket({ failedRefused: 1 })] });
  const later = flow({ flowId: '1', buckets: [bucket({ bucketStart: LATER })] });
  const idle = flow({ flowId: '2', buckets: [bucket(IDLE)] });

  it('are missing until they were added', () => {
    const marks = new Marks();
    assert.deepEqual(marks.missing([used]), ['1']);
    marks.add([used]);
    assert.deepEqual(marks.missing([used]), []);
    marks.clear();
    assert.deepEqual(marks.missing([used]), ['1']);
  });

  it('are none for a bucket in which nothing was used or failed', () => {
    assert.deepEqual(new Marks().missing([idle]), []);
  });

  it('tell use from failure', () => {
    const marks = new Marks();
    marks.add([used]);
    assert.deepEqual(marks.missing([alsoFailed]), ['1']);
    marks.add([alsoFailed]);
    assert.deepEqual(marks.missing([alsoFailed, used]), []);
  });

  it('are kept for the newest bucket alone: of others they are made again', () => {
    const marks = new Marks();
    marks.add([used]);
    assert.deepEqual(marks.missing([later]), ['1']);
    marks.add([later, used]);
    assert.deepEqual(marks.missing([later]), []);
    assert.deepEqual(marks.missing([used]), ['1']);
  });
});
