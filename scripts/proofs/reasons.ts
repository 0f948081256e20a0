import ts from 'typescript';

/** Every value that a type of the source allows for one of its members, with the values of `beside` where it stands. */
export type Allowed = ReadonlyMap<string, readonly string[]>;

/** Reads types with the compiler, so that a new member of a union cannot be forgotten. */
export function openTypes(
  roots: readonly string[],
): (file: string, type: string, path?: string, beside?: string) => Allowed {
  const program = ts.createProgram(roots, options());
  const checker = program.getTypeChecker();
  return (file, name, path, beside) => {
    const source = program.getSourceFile(file);
    const symbol = source && checker.getSymbolAtLocation(source);
    const found = symbol && checker.getExportsOfModule(symbol).find((one) => one.name === name);
    if (found === undefined) throw new Error(`${file} does not export ${name}`);
    const allowed = new Map<string, string[]>();
    for (const member of variants(checker.getDeclaredTypeOfSymbol(found))) {
      const values = path === undefined ? literals(member) : literals(memberOf(member, path, checker));
      for (const value of values) {
        const known = allowed.get(value) ?? [];
        const more = beside === undefined ? [] : literals(memberOf(member, beside, checker));
        allowed.set(value, [...new Set([...known, ...more])].sort());
      }
    }
    return allowed;
  };
}

function options(): ts.CompilerOptions {
  const read = ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path));
  return ts.parseJsonConfigFileContent(read.config, { ...ts.sys, readDirectory: () => [] }, process.cwd()).options;
}

const variants = (type: ts.Type): readonly ts.Type[] => (type.isUnion() ? type.types : [type]);

function memberOf(type: ts.Type, name: string, checker: ts.TypeChecker): ts.Type | undefined {
  const property = type.getProperty(name);
  return property && checker.getTypeOfSymbol(property);
}

const literals = (type: ts.Type | undefined): readonly string[] =>
  type === undefined ? [] : variants(type).flatMap((one) => (one.isStringLiteral() ? [one.value] : []));
