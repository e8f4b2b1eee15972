import type { Position } from './open-connections.ts';

/** Up to where what the kernel counted has been added to the flow table: tracer to flusher. */
export class Mark {
  /** null: nothing is pinned, so nothing is kept for a successor. */
  position: Position | null;

  /** @param position the previous agent's */
  constructor(position: Position | null) {
    this.position = position;
  }
}
