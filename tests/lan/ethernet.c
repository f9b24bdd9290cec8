/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A switch with wires of some rate, delay and loss, for kernels that cannot make any: each port is
 * a TAP device "eth0" in a network namespace.
 *
 *     ethernet RATE DELAY LOSS NAMESPACE...
 *
 * RATE is in Mbit/s in each direction of each wire, DELAY in milliseconds from host to host, LOSS
 * in percent of the frames that come in. Whatever is in the switch goes to all other ports but
 * where the destination is known. It says "ready" when the devices are there. Lines on standard
 * input change it: "down N", "up N" (a port from 0) and "loss PERCENT". */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_PORTS 16
#define FRAME 2048
/* Bytes that wait before a wire; more are lost. */
#define QUEUE (1 << 20)
/* Preamble, gap and check sum. */
#define OVERHEAD 24

typedef struct Frame Frame;

struct Frame
{
  Frame *next;
  int64_t due;                  /* nanoseconds */
  size_t size;
  uint8_t bytes[FRAME];
};

/* One direction of a wire. */
typedef struct
{
  Frame *first, **last;
  size_t n_bytes;
  int64_t free_at;              /* when all that waits has been sent */
} Wire;

typedef struct
{
  int fd;
  int is_down;
  Wire in, out;
  uint8_t addresses[32][6];
  int n_addresses;
} Port;

static Port ports[MAX_PORTS];
static int n_ports;
static double rate, delay, loss;

static int64_t
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * INT64_C (1000000000) + t.tv_nsec;
}

static void
wire_push (Wire *wire, const uint8_t *bytes, size_t size)
{
  int64_t t = now ();
  Frame *frame;

  if (wire->n_bytes + size > QUEUE)
    return;
  frame = malloc (sizeof *frame);
  if (frame == NULL)
    abort ();
  frame->next = NULL;
  frame->size = size;
  memcpy (frame->bytes, bytes, size);
  if (wire->free_at < t)
    wire->free_at = t;
  wire->free_at += (int64_t) ((double) (size + OVERHEAD) * 8000 / rate);
  frame->due = wire->free_at + (int64_t) (delay * 500000);
  *wire->last = frame;
  wire->last = &frame->next;
  wire->n_bytes += size;
}

/* Returns a frame that has arrived, to be freed. */
static Frame *
wire_pop (Wire *wire, int64_t t)
{
  Frame *frame = wire->first;

  if (frame == NULL || frame->due > t)
    return NULL;
  wire->first = frame->next;
  if (wire->first == NULL)
    wire->last = &wire->first;
  wire->n_bytes -= frame->size;
  return frame;
}

static int
knows (const Port *port, const uint8_t *address)
{
  int i;

  for (i = 0; i < port->n_addresses; i++)
    if (memcmp (port->addresses[i], address, 6) == 0)
      return 1;
  return 0;
}

static void
distribute (Port *from, const Frame *frame)
{
  int i, to = -1;

  if (!(frame->bytes[6] & 1) && !knows (from, frame->bytes + 6) && from->n_addresses < 32)
    memcpy (from->addresses[from->n_addresses++], frame->bytes + 6, 6);
  for (i = 0; i < n_ports; i++)
    if (knows (&ports[i], frame->bytes))
      to = i;
  for (i = 0; i < n_ports; i++)
    if (&ports[i] != from && (to < 0 || to == i) && !ports[i].is_down)
      wire_push (&ports[i].out, frame->bytes, frame->size);
}

/* Moves what is due; returns nanoseconds until the next is, or -1. */
static int64_t
move (void)
{
  int64_t t = now (), next = -1;
  Frame *frame;
  int i, k;

  for (i = 0; i < n_ports; i++) {
    while ((frame = wire_pop (&ports[i].in, t)) != NULL) {
      distribute (&ports[i], frame);
      free (frame);
    }
  }
  for (i = 0; i < n_ports; i++) {
    Wire *wires[] = { &ports[i].in, &ports[i].out };

    while ((frame = wire_pop (&ports[i].out, t)) != NULL) {
      if (!ports[i].is_down && write (ports[i].fd, frame->bytes, frame->size) < 0 &&
          errno != EAGAIN && errno != EIO)
        perror ("write");
      free (frame);
    }
    for (k = 0; k < 2; k++)
      if (wires[k]->first != NULL && (next < 0 || wires[k]->first->due - t < next))
        next = wires[k]->first->due > t ? wires[k]->first->due - t : 0;
  }
  return next;
}

static void
receive (Port *port)
{
  uint8_t bytes[FRAME];
  ssize_t size;

  while ((size = read (port->fd, bytes, sizeof bytes)) > 0)
    if (!port->is_down && (loss <= 0 || drand48 () * 100 >= loss))
      wire_push (&port->in, bytes, (size_t) size);
}

static void
obey (void)
{
  static char line[64];
  int port;

  if (fgets (line, sizeof line, stdin) == NULL)
    exit (0);
  if (sscanf (line, "down %d", &port) == 1 && port >= 0 && port < n_ports)
    ports[port].is_down = 1;
  else if (sscanf (line, "up %d", &port) == 1 && port >= 0 && port < n_ports)
    ports[port].is_down = 0;
  else if (sscanf (line, "loss %lf", &loss) != 1)
    fprintf (stderr, "not understood: %s", line);
}

static void
open_port (Port *port, const char *namespace)
{
  char path[128];
  struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI };
  int fd;

  snprintf (path, sizeof path, "/run/netns/%s", namespace);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns (fd, CLONE_NEWNET) < 0) {
    perror (path);
    exit (1);
  }
  close (fd);
  strcpy (request.ifr_name, "eth0");
  port->fd = open ("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (port->fd < 0 || ioctl (port->fd, TUNSETIFF, &request) < 0) {
    perror ("/dev/net/tun");
    exit (1);
  }
  port->in.last = &port->in.first;
  port->out.last = &port->out.first;
}

int
main (int argc, char **argv)
{
  struct pollfd fds[MAX_PORTS + 1];
  int i;

  if (argc < 5 || argc > 4 + MAX_PORTS)
    return 2;
  rate = atof (argv[1]);
  delay = atof (argv[2]);
  loss = atof (argv[3]);
  for (i = 4; i < argc; i++)
    open_port (&ports[n_ports++], argv[i]);
  puts ("ready");
  fflush (stdout);
  setvbuf (stdin, NULL, _IONBF, 0);
  for (;;) {
    int64_t wait = move ();
    struct timespec time = { wait / 1000000000, wait % 1000000000 };

    for (i = 0; i < n_ports; i++)
      fds[i] = (struct pollfd) { .fd = ports[i].fd, .events = POLLIN };
    fds[n_ports] = (struct pollfd) { .fd = STDIN_FILENO, .events = POLLIN };
    ppoll (fds, n_ports + 1, wait < 0 ? NULL : &time, NULL);
    for (i = 0; i < n_ports; i++)
      if (fds[i].revents != 0)
        receive (&ports[i]);
    if (fds[n_ports].revents != 0)
      obey ();
  }
}
