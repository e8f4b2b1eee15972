/** Unit types that hold processes. Slices only group others. */
const UNIT = /\.(?:service|scope|socket|mount|swap)$/;

// systemd-run(1) without --unit; login sessions; machines are containers or VMs.
const NAMELESS =
  /^(?:run-(?:r[0-9a-f]{32}|u\d+|p\d+-i\d+|\d+)\.(?:service|scope)|session-c?\d+\.scope|machine-.*\.scope)$/;

// Accept=yes sockets: foo@COUNT-LOCAL:PORT-PEER:PORT.service, foo@COUNT-PID-UID.service.
const PER_CONNECTION = /@\d+-(?:.*:\d+-.*:\d+|\d+-\d+(?:-\d+)?)\.service$/;

// Desktop launchers: app-NAME@RANDOM.service, NAME-PID.scope, NAME-UUID.scope.
const RANDOM_INSTANCE = /@[0-9a-f]{16,}\.service$/;
const RANDOM_SCOPE =
  /(?:[-.](?:\d+|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{16,}))+\.scope$/;

// Bus-activated: dbus-:1.23-org.example.Name@0.service.
const BUS_NAME = /^dbus-:\d+\.\d+-(.+)@\d+\.service$/;

/**
 * The unit that a component of a cgroup path names, without the parts that systemd or a launcher
 * makes up for each start or connection: a node must outlive them.
 * @returns null when it is no unit, '' when it is one that has no lasting name
 */
export function unitOfComponent(component: string): string | null {
  if (!UNIT.test(component)) {
    return null;
  }
  if (NAMELESS.test(component)) {
    return '';
  }
  return component
    .replace(PER_CONNECTION, '@.service')
    .replace(RANDOM_INSTANCE, '@.service')
    .replace(RANDOM_SCOPE, '.scope')
    .replace(BUS_NAME, 'dbus-$1.service');
}
