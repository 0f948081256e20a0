/** All text of signing in because an agent asked, and of signing out. */
export const SIGN_IN = {
  title: 'Sign in',
  where: 'Where do you have your account?',
  byPasskey: 'Sign in with a passkey',
  how: 'Your device asks for your fingerprint, your face or its PIN. You need not type a name.',
  elsewhere: 'Or sign in at',
  moment: 'One moment',
  back: 'You are being taken back.',
  go: 'Continue',
  as: 'You are signed in as',
} as const;

export const SIGN_OUT = {
  title: 'Sign out',
  here: {
    title: 'In this browser',
    about:
      'Ends this sign-in and what agents got through it: they have to ask you again. Your other browsers stay signed in.',
    go: 'Sign out here',
    done: 'This sign-in has ended, and with it what agents got through it.',
  },
  everywhere: {
    title: 'Everywhere',
    about:
      'Ends every sign-in of yours, and at once everything that any agent holds in your name, whoever gave it. What is under way stops.',
    go: 'Sign out everywhere',
    done: 'All your sign-ins have ended, and with them everything that agents held in your name.',
  },
  problems: {
    not_from_here: 'That did not come from this page as it is now, so nothing has changed. Please choose here.',
  },
  done: 'You are signed out',
  company:
    'If your company signed you in, you may still be signed in there: whoever uses this browser could come in again.',
} as const;
