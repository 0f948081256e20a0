/**
 * The one script of our pages. It asks the browser for a passkey, puts the answer into the form and sends it; it fetches
 * nothing and writes no markup. Changing it changes the hash in the content security policy by itself.
 */
export const PASSKEY_SCRIPT = `
(() => {
  const form = document.querySelector('form[data-passkey]');
  const { method, options } = JSON.parse(form.dataset.passkey);
  const button = form.querySelector('button');
  const alarm = document.querySelector('[role=alert]');
  const say = (text) => { alarm.textContent = text; alarm.hidden = false; };
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
  const withBytes = (keys) => (keys || []).map((key) => ({ ...key, id: bytes(key.id) }));
  const publicKey = { ...options, challenge: bytes(options.challenge) };
  if (options.user) publicKey.user = { ...options.user, id: bytes(options.user.id) };
  if (options.excludeCredentials) publicKey.excludeCredentials = withBytes(options.excludeCredentials);
  const plain = ({ id, rawId, type, response }) => ({
    id, type, rawId: text(rawId), clientExtensionResults: {},
    response: response.attestationObject
      ? { clientDataJSON: text(response.clientDataJSON), attestationObject: text(response.attestationObject),
          transports: response.getTransports ? response.getTransports() : [] }
      : { clientDataJSON: text(response.clientDataJSON), authenticatorData: text(response.authenticatorData),
          signature: text(response.signature), userHandle: response.userHandle ? text(response.userHandle) : undefined },
  });
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (!window.PublicKeyCredential) return say(form.dataset.missing);
    button.disabled = true;
    try {
      form.elements.answer.value = JSON.stringify(plain(await navigator.credentials[method]({ publicKey })));
      form.submit();
    } catch (error) {
      button.disabled = false;
      say(error.name === 'InvalidStateError' ? form.dataset.known : form.dataset.failed);
    }
  });
})();
`;
