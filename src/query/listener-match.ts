/** What is compared of a listener. */
interface ListeningAt {
  readonly hostId: string;
  readonly netns: string;
  readonly address: string;
  readonly port: number;
}

/**
 * Who accepts connections to an address and port of a namespace. As in the kernel, the most
 * specific socket wins: the address itself, then the wildcard of its family, then `::` for IPv4.
 */
export function listenersAt<T extends ListeningAt>(
  owner: { readonly hostId: string; readonly netns: string },
  address: string,
  port: number,
  listeners: readonly T[],
): T[] {
  const here = listeners.filter(
    (listener) =>
      listener.hostId === owner.hostId && listener.netns === owner.netns && listener.port === port,
  );
  const wildcards = address.includes(':') ? ['::'] : ['0.0.0.0', '::'];
  for (const wanted of [address, ...wildcards]) {
    const found = here.filter((listener) => listener.address === wanted);
    if (found.length > 0) return found;
  }
  return [];
}
