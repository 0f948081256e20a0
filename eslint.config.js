import tseslint from 'typescript-eslint';

const clockRule = {
  selector:
    "CallExpression[callee.object.name='Date'][callee.property.name='now'], NewExpression[callee.name='Date'][arguments.length=0]",
  message: 'Time is an input: take `now` or a Clock from base/clock.ts.',
};
const envRule = {
  selector: "MemberExpression[object.name='process'][property.name='env']",
  message: 'The environment is read in config/ only: take what you need as an argument.',
};

export default tseslint.config(
  { ignores: ['dist/', 'coverage/', 'src/storage/generated/', '**/*.cjs', '**/*.mjs', '.writ*/'] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js'] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      '@typescript-eslint/consistent-type-definitions': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    rules: {
      'no-console': 'error',
      'max-params': ['error', 4],
      '@typescript-eslint/consistent-type-assertions': ['error', { assertionStyle: 'never' }],
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/strict-boolean-expressions': ['error', { allowNullableObject: true }],
      'no-restricted-syntax': ['error', clockRule, envRule],
    },
  },
  { files: ['src/base/clock.ts'], rules: { 'no-restricted-syntax': ['error', envRule] } },
  {
    files: ['src/config/**/*.ts', 'src/cli/**/*.ts', 'src/main.ts'],
    rules: { 'no-restricted-syntax': ['error', clockRule] },
  },
  { files: ['src/cli/**/*.ts', 'src/main.ts'], rules: { 'no-console': 'off' } },
  { files: ['eslint.config.js'], extends: [tseslint.configs.disableTypeChecked] },
);
