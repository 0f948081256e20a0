import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { openDatabase } from '../../src/storage/index.js';
import { type Compiled, compileSource } from '../support/compiled.js';
import { migratedAddress, freshDatabase } from '../support/databases.js';

/** Opens the embedded database, keeps a person in it, says so, and stays. */
const HOLDER = `
  import { openDatabase, openPersons } from './src/storage/index.js';
  try {
    const database = await openDatabase({ dataDir: process.argv[2] });
    await openPersons(database, { now: () => 1795305600 }).ensure('https://idp.example', 'alice', {});
    process.stdout.write('open');
    process.on('SIGTERM', async () => { await database.close(); process.exit(0); });
    setInterval(() => undefined, 1_000);
  } catch (fault) {
    process.stdout.write(fault.code + ': ' + fault.message);
    process.exit(3);
  }`;

describe('the data directory of the embedded database', () => {
  let compiled: Compiled;
  const children: ChildProcess[] = [];

  beforeAll(() => {
    compiled = compileSource();
    writeFileSync(join(compiled.directory, 'holder.js'), HOLDER);
  });
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
    compiled.remove();
  });

  /** A second process; answers its first words. */
  const start = async (dataDir: string): Promise<Readonly<{ child: ChildProcess; said: string }>> => {
    const child = spawn(process.execPath, [join(compiled.directory, 'holder.js'), dataDir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    const said = String((await once(child.stdout, 'data'))[0]);
    return { child, said };
  };
  const end = async (child: ChildProcess, signal: NodeJS.Signals): Promise<void> => {
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  };

  it('is refused to this process while another holds it, with the holder named and a way out', async () => {
    const { options, remove } = await migratedAddress('embedded');
    const { child, said } = await start(options.dataDir);
    expect(said).toBe('open');
    await expect(openDatabase(options)).rejects.toMatchObject({
      code: 'data_directory_in_use',
      message: expect.stringMatching(
        new RegExp(
          `^The data directory ${options.dataDir} is in use by process ${child.pid}, started at 2\\S+Z\\. Stop that process, .*WRIT_DATA_DIR.*DATABASE_URL`,
        ),
      ),
    });
    await end(child, 'SIGTERM');
    await remove();
  });

  it('is free again after the holder was killed, and holds what was acknowledged', async () => {
    const { options, remove } = await migratedAddress('embedded');
    const { child } = await start(options.dataDir);
    await end(child, 'SIGKILL');
    const database = await openDatabase(options);
    expect(await database.prisma.person.count({ where: { subject: 'alice' } })).toBe(1);
    await database.close();
    await remove();
  });

  it('is refused to a second process while this one holds it, and free after this one closed', async () => {
    const { database, options, drop } = await freshDatabase('embedded');
    const refused = await start(options.dataDir);
    expect(refused.said).toMatch(new RegExp(`^data_directory_in_use: .* in use by process ${process.pid}, `));
    expect(await database.prisma.registryState.count()).toBe(1);
    await database.close();
    const { child, said } = await start(options.dataDir);
    expect(said).toBe('open');
    await end(child, 'SIGTERM');
    await drop();
  });

  it('is refused to a second opener in the same process', async () => {
    const { options, drop } = await freshDatabase('embedded');
    await expect(openDatabase(options)).rejects.toMatchObject({ code: 'data_directory_in_use' });
    await drop();
  });
});
