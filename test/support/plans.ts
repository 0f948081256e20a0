import { z } from 'zod';
import type { Database } from '../../src/storage/index.js';

type Node = Readonly<Record<string, unknown>> & Readonly<{ Plans?: readonly Node[] | undefined }>;
const Node: z.ZodType<Node> = z.lazy(() => z.looseObject({ Plans: z.array(Node).optional() }));
const Explained = z.tuple([z.object({ 'QUERY PLAN': z.tuple([z.object({ Plan: Node })]) })]);

/** How many rows of tables and indexes a statement looks at, those that it passes over included. What it changes is undone. */
export async function rowsLookedAt({ prisma }: Database, sql: string, values: readonly unknown[]): Promise<number> {
  const undone = new Error('undone');
  let looked = NaN;
  await prisma
    .$transaction(async (transaction) => {
      const rows = await transaction.$queryRawUnsafe(`EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${sql}`, ...values);
      looked = countIn(Explained.parse(rows)[0]['QUERY PLAN'][0].Plan);
      throw undone;
    })
    .catch((thrown: unknown) => {
      if (thrown !== undone) throw thrown;
    });
  return looked;
}

function countIn(node: Node): number {
  const figure = (name: string): number => z.number().catch(0).parse(node[name]);
  const isScan = node['Relation Name'] !== undefined || node['Index Name'] !== undefined;
  const passed = figure('Rows Removed by Filter') + figure('Rows Removed by Index Recheck');
  const here = isScan ? (figure('Actual Rows') + passed) * figure('Actual Loops') : 0;
  return (node.Plans ?? []).reduce((sum, child) => sum + countIn(child), here);
}
