import { z } from 'zod';
import { Settings } from './settings.js';

/** One setting that the environment can give. `path` is its name in the file, `reads` how its text becomes a value. */
export type EnvironmentSetting = Readonly<{
  env: string;
  path: readonly string[];
  reads: 'text' | 'number' | 'switch' | 'list';
  about: string;
  standard: string | undefined;
  example: string | undefined;
  secret: boolean;
}>;

export type Environment = Readonly<Record<string, string | undefined>>;

type Described = z.infer<typeof Described>;
const Described = z.object({
  type: z.string().optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  env: z.string().optional(),
  example: z.string().optional(),
  secret: z.boolean().optional(),
  get properties() {
    return z.record(z.string(), Described).optional();
  },
});

/** All of them, in the order of the schema, which is their one home. */
export const environmentSettings: readonly EnvironmentSetting[] = collect(
  Described.parse(z.toJSONSchema(Settings, { io: 'input' })),
  [],
);

/** The value that a text of the environment stands for; what does not fit stays text and is refused by the schema. */
export function readSetting({ reads }: Pick<EnvironmentSetting, 'reads'>, text: string): unknown {
  switch (reads) {
    case 'text':
      return text;
    case 'number':
      return /^\d{1,9}$/.test(text) ? Number(text) : text;
    case 'switch':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'list':
      return text
        .split(',')
        .map((item) => item.trim())
        .filter((item) => item !== '');
  }
}

function collect(schema: Described, path: readonly string[]): readonly EnvironmentSetting[] {
  const inner = Object.entries(schema.properties ?? {}).flatMap(([name, child]) => collect(child, [...path, name]));
  if (schema.env === undefined) return inner;
  const standard = schema.default;
  return [
    {
      env: schema.env,
      path,
      reads: readsAs(schema.type),
      about: schema.description ?? '',
      standard: ['string', 'number', 'boolean'].includes(typeof standard) ? String(standard) : undefined,
      example: schema.example,
      secret: schema.secret ?? false,
    },
  ];
}

function readsAs(type: string | undefined): EnvironmentSetting['reads'] {
  if (type === 'integer' || type === 'number') return 'number';
  if (type === 'boolean') return 'switch';
  return type === 'array' ? 'list' : 'text';
}
