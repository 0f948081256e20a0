import type { z } from 'zod';
import { err, ok, type Result } from '../base/index.js';
import { fieldProblem, type FieldProblem, type Problem } from './problem.js';

/** Reads the query: every parameter once, and only those that the schema has. */
export function readQuery<Q extends z.ZodType>(schema: Q, text: string): Result<z.output<Q>, Problem> {
  const entries = [...new URLSearchParams(text)];
  const twice = entries.find(([name], i) => entries.findIndex(([other]) => other === name) < i);
  if (twice !== undefined) return err(fieldProblem([{ param: twice[0], detail: 'is given twice' }]));
  return checked(schema, Object.fromEntries(entries));
}

/** What the schema makes of a value that somebody sent, or the problem that names each wrong field. */
export function checked<S extends z.ZodType>(schema: S, value: unknown): Result<z.output<S>, Problem> {
  const parsed = schema.safeParse(value);
  return parsed.success ? ok(parsed.data) : err(fieldProblem(parsed.error.issues.flatMap(fieldsOf)));
}

function fieldsOf(issue: z.core.$ZodIssue): readonly FieldProblem[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ param: path.join('.') || 'body', detail: wordsOf(issue) }];
  return issue.keys.map((key) => ({ param: [...path, key].join('.'), detail: 'is not a field' }));
}

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_type' && issue.input === undefined && issue.message.endsWith('received undefined')) {
    return 'is missing';
  }
  return issue.message;
}
