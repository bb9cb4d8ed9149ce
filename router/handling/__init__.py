"""The processes in which handlers run: how they are started, monitored and replaced. Replies are interpreted elsewhere.

A handler is the operator's code, and may block: a driver without gevent, a long computation, an endless loop. In the
worker's own process it would stop the intake of all messages. So each worker has a child process, which is started with
the first message for a handler and ends with its worker.

The design, with measurements on two cores, compared with handlers in the worker:

- The child is a new interpreter, not a fork of the worker: it has 17 MB of private memory instead of 3 MB, and starts
  in 0.3 s instead of 0.05 s. A fork would have the store's connections, the listening socket and every token; this
  child has one socket, to its worker, and the operator's variables. A worker has 50 MB, with its child 67 MB, with a
  second child 84 MB; 120 MB are allowed.
- All calls are greenlets of one child, as they would be in the worker: a call that waits cooperatively (sockets,
  `time.sleep`) does not delay the others. A process for each message in progress would mean dozens of processes.
- A call takes 0.1 ms of the worker and 0.15 ms of the child; a message takes 1 ms in all. An answer takes 0.3 ms
  longer, and a worker with trivial handlers accepts 15 % fewer messages a second; the child alone does 8,000 calls a
  second.

Detection of blocking calls: the child records each switch of greenlets on a page of memory that its worker reads
(`board`). So the worker knows which call's code runs and since when, even while the child cannot answer.

- At the deadline of a call that blocks, or that catches its deadline with a bare `except:`, the child is replaced: in
  the first case it is killed immediately with all processes that it has started; in the second case after the other
  calls have ended. The message is given up the second time (`retry`).
- The other calls in the child are lost without fault. Calls that had not begun go to the new child; a call that had
  begun is repeated if its flow allows this, and it counts neither as a retry nor for its target's breaker.
- A handler that blocks the child for a second is called in a second child, the ward, for ten minutes: the ward runs
  only blocking handlers, so the first child stays responsive. Calls in progress are not moved.
"""
