/** What a tracer had seen of the connections to the server's port in the end. */
export interface Seen {
  readonly connections: number;
  /** Of those: attributed to the right process. Undefined when the tool doesn't try. */
  readonly named?: number;
}
