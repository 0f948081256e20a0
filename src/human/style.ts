/** The one style sheet of every page for people. Changing it changes the hash in the content security policy by itself. */
export const STYLE = `
:root { --ink: #1b1f24; --soft: #59636e; --line: #d8dee4; --paper: #fff; --back: #f3f5f7; --accent: #0b5cad; --on-accent: #fff; --warn: #8a5300; --warn-back: #fff6e0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf1; --soft: #9aa6b2; --line: #323a44; --paper: #181c21; --back: #0e1114; --accent: #6cb2ff; --on-accent: #07223f; --warn: #ffcf70; --warn-back: #2e2410; }
}
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; background: var(--back); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; display: grid; place-items: center; padding: 16px; }
main { width: 100%; max-width: 520px; background: var(--paper); border: 1px solid var(--line); border-radius: 14px; padding: 28px; overflow-wrap: anywhere; }
h1 { font-size: 1.375rem; line-height: 1.3; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: .8125rem; text-transform: uppercase; letter-spacing: .06em; color: var(--soft); margin: 24px 0 8px; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 8px 0; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.small { font-size: .875rem; }
dl { margin: 20px 0 0; border-top: 1px solid var(--line); }
dl > div { display: grid; grid-template-columns: 8.5rem 1fr; gap: 4px 12px; padding: 9px 0; border-bottom: 1px solid var(--line); }
dt { color: var(--soft); }
dd { margin: 0; }
ul { list-style: none; margin: 0; padding: 0; }
li.server { border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; margin-bottom: 8px; }
code { font: .875em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.scopes { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 8px; }
.scopes code { border: 1px solid var(--line); border-radius: 6px; padding: 1px 7px; background: var(--back); }
.warn { background: var(--warn-back); color: var(--warn); border-radius: 10px; padding: 10px 14px; margin: 16px 0 0; }
.actions { display: flex; gap: 12px; margin-top: 24px; }
button, a.button { flex: 1; display: block; text-align: center; text-decoration: none; font: inherit; font-weight: 600; padding: 12px 16px; min-height: 48px; border-radius: 10px; border: 1px solid var(--line); background: var(--paper); color: var(--ink); cursor: pointer; }
button.primary, a.button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); }
button:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.choice { display: flex; gap: 10px; align-items: center; min-height: 44px; padding: 4px 0; cursor: pointer; }
.choice input { flex: none; width: 20px; height: 20px; margin: 0; accent-color: var(--accent); }
.choice input.count { width: 7rem; height: 44px; font: inherit; padding: 8px; border-radius: 8px; border: 1px solid var(--soft); background: var(--paper); color: var(--ink); }
.choice span span { display: block; }
select { font: inherit; min-height: 44px; padding: 8px; border-radius: 8px; border: 1px solid var(--line); background: var(--paper); color: var(--ink); }
summary { cursor: pointer; padding: 8px 0; color: var(--soft); }
input:focus-visible, select:focus-visible, summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
time { white-space: nowrap; }
.compact { margin-top: 12px; border: 0; }
.compact > div { grid-template-columns: 8.5rem 1fr; padding: 3px 0; border: 0; }
.actions.in-order { margin-top: 12px; }
button.small { min-height: 44px; padding: 9px 16px; }
.sentence { font-size: 1.125rem; font-weight: 600; }
.arguments > div { grid-template-columns: 1fr; }
.arguments dt { font: .875em ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.mark { border-radius: 6px; padding: 1px 7px; background: var(--warn-back); color: var(--warn); font: 600 .8125rem/1.4 system-ui, sans-serif; }
.field { display: grid; gap: 4px; margin-top: 24px; }
.field input { font: inherit; font-size: 1.5rem; letter-spacing: .2em; width: 5.5rem; min-height: 48px; padding: 8px 12px; border-radius: 10px; border: 1px solid var(--soft); background: var(--paper); color: var(--ink); }
.field.address input { width: 100%; font-size: 1rem; letter-spacing: 0; }
.choices { display: grid; gap: 10px; margin-top: 20px; }
@media (max-width: 480px) {
  body { padding: 0; place-items: start stretch; }
  main { border: 0; border-radius: 0; min-height: 100vh; padding: 24px 18px; }
  dl:not(.compact) > div { grid-template-columns: 1fr; gap: 0; }
  .actions { flex-direction: column-reverse; }
  .actions.in-order { flex-direction: row; }
}
`;
