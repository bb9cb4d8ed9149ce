"""The processes in which handlers run: how they are started, monitored and replaced. Replies are interpreted elsewhere.

A handler is the operator's code, and may block: a driver without gevent, a long computation, an endless loop. In the
worker's own process that stopped the intake of all messages. So each worker has a child, which is started with the
first message for a handler and ends with its worker.

What was measured on two cores, against handlers in the worker, and what was decided:

- The child is a new interpreter, not a fork of the worker: 17 MB of its own instead of 3 MB, and there in 0.3 s instead
  of 0.05 s. A fork holds the store's connections, the listening socket and every token; this one has one socket, to its
  worker, and the operator's variables. A worker has 50 MB, with its child 67 MB, with a second child 84 MB; 120 are
  allowed.
- All calls are greenlets of one child, as they were of the worker: a call that waits cooperatively (sockets,
  `time.sleep`) does not delay the others. A process for each message in progress would mean dozens of processes.
- A call takes 0.1 ms of the worker and 0.15 ms of the child, where a message takes 1 ms in all. An answer comes 0.3 ms
  later, and a worker whose handlers do nothing takes 15 % fewer messages a second; the child alone does 8,000 calls.

How one that blocks is found: the child notes each switch of greenlets on a page of memory that its worker reads
(`board`). So the worker sees whose code runs and since when, also while the child can say nothing.

- At the deadline of a call that blocks, or that swallows its deadline with a bare `except:`, the child is replaced: in
  the first case at once, killed with all that it has started; in the second when the other calls have ended. The
  message is given up the second time (`retry`).
- Whatever else was under way in it is lost without fault. Calls that had not begun go to the new child; one that had
  begun is repeated where its flow allows that, and it costs neither a retry nor its target's breaker.
- A handler that blocks the child for a second is called in a second child, the ward, for ten minutes: the ward runs
  only blocking handlers, so the first child stays responsive. Calls in progress are not moved.
"""
