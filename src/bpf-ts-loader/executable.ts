import { access, constants, type FileHandle, open } from 'node:fs/promises';

/** ELF: magic, class and byte order, then at 18 the machine (elf(5)). */
const HEADER_BYTES = 20;
const ELF_MAGIC = '\x7fELF';

/**
 * Does the kernel refuse to execute this file, as no script and no program for this machine? To be
 * asked first: execvp(3) has a shell read what the kernel refuses so, whatever is in it.
 * @returns false also where the file may not be executed or read; whoever tries it learns why
 */
export async function isNoProgram(path: string): Promise<boolean> {
  const header = (await mayExecute(path)) ? await headerOf(path) : null;
  if (header === null || header.startsWith('#!')) return false;
  if (!header.startsWith(ELF_MAGIC)) return true;
  const own = await headerOf(process.execPath);
  return own !== null && machineOf(header) !== machineOf(own);
}

async function mayExecute(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

function machineOf(header: string): string {
  return header.slice(4, 6) + header.slice(18);
}

/** One character for each byte; null: the file can't be read. */
async function headerOf(path: string): Promise<string | null> {
  let file: FileHandle | null = null;
  try {
    file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } catch {
    return null; // the answer, see above
  } finally {
    await file?.close();
  }
}
