// Proves that prisma/migrations make the database that prisma/schema.prisma describes; otherwise says what is missing.
import { readMigrations } from '../src/storage/migrate.js';
import { schemaDifference } from './schema-engine.js';

const difference = await schemaDifference(readMigrations());
if (difference !== undefined) {
  console.error(
    `prisma/migrations and prisma/schema.prisma disagree. The migrations still have to make these changes:\n${difference}`,
  );
  process.exitCode = 1;
}
