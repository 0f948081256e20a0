import { type Config, openSecrets, type Secrets } from './config/index.js';
import { type Database, openDatabase } from './storage/index.js';

/** The start of a start. Whoever has it closes the database, whatever comes. */
export type Begun = Readonly<{ secrets: Secrets; database: Promise<Database> }>;

/** Begins what takes longest: a database mostly waits for the disk and the compiler, and the rest can be loaded meanwhile. */
export function begin(config: Config): Begun {
  const secrets = openSecrets(config);
  const { databaseUrl: url, dataDir, databasePoolSize: poolSize } = config;
  const database = openDatabase({ url, dataDir, poolSize });
  // Who awaits it is told of a failure; until then there is nobody to be told.
  database.catch(() => undefined);
  return { secrets, database };
}
