% compute.m - Octave has no server sockets of its own: it works, and says how far it is in a file
count = 0;
state = magic (64);
log = fopen ("log", "w");
while (true)
  [q, r] = qr (state);
  assert (norm (q * r - state) < 1e-6);
  state = circshift (state, 1);
  count++;
  fprintf (log, "%d\n", count);
  fflush (log);
  pause (0.05);
endwhile
