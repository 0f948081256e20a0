import { WORDS } from '../words/index.js';

/**
 * The script of /approvals. It asks the browser to take messages and puts what it says into the form; it fetches nothing and
 * writes no markup. Changing it changes the hash in the content security policy by itself.
 */
export const TOLD_SCRIPT = `
(() => {
  const form = document.querySelector('form[data-push]');
  if (!form) return;
  const alarm = form.querySelector('[role=alert]');
  const say = (text) => { alarm.textContent = text; alarm.hidden = false; };
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (one) => one.charCodeAt(0));
  const { worker, scope, push, denied, missing } = form.dataset;
  const trusted = window.trustedTypes
    ? window.trustedTypes.createPolicy('writ', { createScriptURL: () => worker }).createScriptURL('')
    : worker;
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (!navigator.serviceWorker || !window.PushManager || !window.Notification) return say(missing);
    try {
      if ((await Notification.requestPermission()) !== 'granted') return say(denied);
      const registration = await navigator.serviceWorker.register(trusted, { scope });
      const { pushManager } = registration;
      const options = { userVisibleOnly: true, applicationServerKey: bytes(push) };
      const before = await pushManager.getSubscription();
      const given = before && before.options.applicationServerKey;
      // A browser subscribes by no other key than that of the subscription that it has.
      if (given && String(new Uint8Array(given)) !== String(options.applicationServerKey)) await before.unsubscribe();
      const subscription = await pushManager.subscribe(options);
      form.elements.subscription.value = JSON.stringify(subscription);
      form.submit();
    } catch (error) {
      say(error.name === 'NotAllowedError' ? denied : missing);
    }
  });
})();
`;

/**
 * The worker that shows a message. Whatever comes, it opens no other page than that of one request, or the list. A browser that
 * ends a subscription by itself says so: the worker has no sign-in of the person, by whom alone a place is chosen.
 */
export const WORKER = `
self.addEventListener('push', (event) => {
  const { title, body, path, tag } = event.data.json();
  event.waitUntil(self.registration.showNotification(title, { body, tag, data: path, renotify: true, requireInteraction: true }));
});
self.addEventListener('pushsubscriptionchange', (event) => {
  const { title, body } = ${JSON.stringify({ title: WORDS.told.app.name, body: WORDS.told.over })};
  event.waitUntil(self.registration.showNotification(title, { body, tag: 'over', data: '', requireInteraction: true }));
});
self.addEventListener('notificationclick', (event) => {
  event.notification.close();
  const list = self.location.pathname.replace(/\\/sw\\.js$/, '');
  const path = String(event.notification.data);
  const id = path.slice(list.length);
  const isOne = path.startsWith(list) && /^\\/apr_[\\w-]{22}$/.test(id);
  event.waitUntil(self.clients.openWindow(isOne ? path : list));
});
`;
