/**
 * Flows that the kernel side counts between two drains at most, and so many it remembers to have
 * announced. The helper is told (`--max-flows`); what depends on it here is derived from it.
 */
export const MAX_KERNEL_FLOWS = 16_384;
