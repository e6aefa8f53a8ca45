/*
 * bounds.h: every ceiling on what comes from outside, in one list, with unit and reason.
 *
 * Limits that an operator may move are settings (settings.h); these are not.
 */
#ifndef CELERIAC_BOUNDS_H
#define CELERIAC_BOUNDS_H

/* Messages */
#define BOUND_MESSAGE_BYTES    (64u << 20) /* one envelope; larger goes to celeriac:dead unread */
#define BOUND_BODY_BYTES       (64u << 20) /* a body after base64 and decompression */
#define BOUND_JSON_DEPTH       512	   /* nesting; Python's own reader gives up near 1000 */
#define BOUND_JSON_VALUES      (1u << 20)  /* in one text: "[]," becomes 140 bytes of memory */
#define BOUND_TASK_NAME_BYTES  512	   /* a dotted name */
#define BOUND_MODULES	       256	   /* shared objects with tasks, in one list */
#define BOUND_TASK_PARAMS      64	   /* of one task */
#define BOUND_TASK_ID_BYTES    255	   /* a uuid4 has 36 */
#define BOUND_HEADERS	       256	   /* members of the header object */
#define BOUND_TRACESTATE_BYTES 512	   /* as the W3C has it */
#define BOUND_REPR_BYTES       1024	   /* Celery cuts argsrepr and result reprs here */
#define BOUND_RESULT_BYTES     (64u << 20) /* one task meta */
#define BOUND_URL_BYTES	       4096	   /* a broker, backend or tool URL */
#define BOUND_QUEUES	       256	   /* consumed at once */
#define BOUND_CLAIM_BATCH      256	   /* messages claimed in one round trip */
#define BOUND_CANVAS_DEPTH     128 /* signatures in signatures; each is three levels of JSON */
#define BOUND_FOLLOW_BYTES     (96u << 20) /* of what follows from one task: one command takes it */
#define BOUND_CANVAS_SIZE      200000	   /* signatures in one tree, and messages made of it */
/* Bytes a second with which an answer of the broker has to come, and a command to be taken, once
 * its time is over: a claim of 16 MiB and one more message as long as may be is here in 44 s,
 * before the watchdog, which has 60, takes who waits for it for one that stands still. */
#define BOUND_LEAST_RATE (2u << 20)

/* Remote control and events */
#define BOUND_CONTROL_BYTES (1u << 20)	/* one request */
#define BOUND_CONTROL_REPLY (16u << 20) /* one reply */
#define BOUND_CONTROL_ROWS  10000	/* requests listed in one reply */
#define BOUND_CONTROL_FETCH 2000	/* of them, those whose payload is read from the broker */
#define BOUND_PATTERN_BYTES 255		/* of node names */
#define BOUND_EVENT_BYTES   (64u << 10) /* one event: args, kwargs and a traceback */
#define BOUND_EVENTS	    10000	/* waiting to be sent; the oldest are dropped */
#define BOUND_EVENTS_BYTES  (16u << 20) /* of all of them */
#define BOUND_PARKED	    2000	/* rate-limited requests that take no slot */
#define BOUND_SETTLING                                                                             \
	256 /* requests that are done, on their way to the broker, that take no slot */
#define BOUND_WAITING	 2000	      /* requests behind others of their lane that take no slot */
#define BOUND_HELD_BYTES (128u << 20) /* of messages held; beyond, nothing is claimed */
#define BOUND_SCHEDULE_BYTES                                                                       \
	(48u << 20)		      /* of memory for messages that wait in the broker; likewise */
#define BOUND_FETCH_BYTES (16u << 20) /* of those read again at once */

/* Signed messages */
#define BOUND_PEM_FILE	   (64u << 10) /* a key or a certificate */
#define BOUND_CERTIFICATES 1024	       /* of those who may sign */

/* Policy and audit */
#define BOUND_POLICY_FILE  (4u << 20)
#define BOUND_SETTING_FILE (64u << 10)
#define BOUND_IMPORT	   (32u << 20) /* an OpenAPI document, and what it becomes */
#define BOUND_AUDIT_EVENTS 10000       /* waiting for the database */

/* Text for people */
#define BOUND_METRICS_PAGE (8u << 20)
#define BOUND_LOG_LINE	   8192
#define BOUND_ERROR_TEXT   4096

/* Clients */
#define BOUND_REDIS_ELEMENTS (16u << 20)  /* of an array in a reply */
#define BOUND_REDIS_COMMAND  (128u << 20) /* bytes of pipelined commands handed over at once */
#define BOUND_LINK_BACKLOG   (256u << 20) /* bytes waiting in one owner thread during an outage */
#define BOUND_LINK_SMALL     8192	  /* … but for commands of at most so many */
#define BOUND_AMQP_FRAME     (128u << 10) /* as RabbitMQ's own; what is before a body fits into one */
#define BOUND_AMQP_DEPTH     64		  /* tables and lists in header tables */
#define BOUND_AMQP_WINDOW    (64u << 20) /* deliveries since the oldest unsettled: a byte each */
#define BOUND_AMQP_WAITING   (64u << 20) /* bytes delivered and not taken; more is given back */
#define BOUND_HTTP_HEAD	     (64u << 10) /* status line and headers */
#define BOUND_ENGINE_BODY    (16u << 20) /* one JSON answer of a Docker engine */

/* Plugins */
#define BOUND_PLUGIN_FILES  512
#define BOUND_PLUGIN_BYTES  (8u << 20) /* of all its files */
#define BOUND_PLUGIN_DEPTH  8
#define BOUND_PLUGIN_CONFIG (1u << 20)	/* what a plugin is configured with */
#define BOUND_TOOL_ANSWER   (16u << 20) /* what a tool returned, as JSON */

/* MCP servers */
#define BOUND_MCP_MESSAGE   (16u << 20) /* one line, event or answer */
#define BOUND_MCP_NOISE	    1000	/* lines of stdout that are no message, per session */
#define BOUND_MCP_QUEUE	    65536	/* messages that came and were not looked at */
#define BOUND_MCP_PAGES	    100		/* of one catalogue */
#define BOUND_MCP_TOOLS	    2000
#define BOUND_MCP_CATALOGUE (8u << 20) /* bytes of all its tools */
#define BOUND_MCP_SCHEMA    32	       /* levels of properties that are searched for headers */
#define BOUND_MCP_HEADERS   64	       /* arguments of one tool that are repeated in headers */
#define BOUND_MCP_ROUNDS    16	       /* of input that one call may ask for */

/* Sandboxes */
#define BOUND_FRAME_BYTES	    (64u << 10) /* one agent frame, which a re-attach must flush */
#define BOUND_CODE_BYTES	    (4u << 20)	/* source text of one run */
#define BOUND_STDIN_BYTES	    (16u << 20)
#define BOUND_INPUT_FILES	    64
#define BOUND_INPUT_FILE_BYTES	    (32u << 20)
#define BOUND_INPUT_BYTES	    (64u << 20) /* all input files of one run */
#define BOUND_FILE_NAME_BYTES	    255		/* Linux' own */
#define BOUND_OUTPUT_DEPTH	    16	 /* directories below /sandbox/output that are walked */
#define BOUND_OUTPUT_WALK	    4096 /* directory entries looked at per harvest */
#define BOUND_ENV_VARS		    64
#define BOUND_PACKAGES		    64
#define BOUND_PACKAGE_BYTES	    255
#define BOUND_PACKAGE_VOLUMES	    64 /* of MCP servers, on one engine; each FRAME_INSTALL_MAX */
#define BOUND_ENV_BYTES		    (64u << 10)
#define BOUND_CONVERSATION_ID_BYTES 255
#define BOUND_DESCRIPTORS_LEAST	    32	/* a program that may have fewer open does not start */
#define BOUND_EGRESS_DESCRIPTORS    512 /* connections out of all sandboxes of one worker */

#endif
