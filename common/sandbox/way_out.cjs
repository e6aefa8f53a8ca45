// Node's own modules do not read the proxy variables: before a program, where the run has a way out, http and https are given
// agents that go through the proxy, and fetch a dispatcher. What names itself an agent or a dispatcher keeps it.
'use strict';
const http = require('http'), https = require('https'), net = require('net'), tls = require('tls');
const proxy = new URL(process.env.https_proxy);
const direct = (process.env.no_proxy || '').split(',').map((name) => name.trim()).filter(Boolean);
const isDirect = (host) => direct.some((name) => host === name || host.endsWith('.' + name.replace(/^\./, '')));
const bare = (host) => host.replace(/^\[|\]$/g, '');

// A connection through the proxy to host:port, by CONNECT.
function tunnel(host, port, done) {
	const socket = net.connect(Number(proxy.port), proxy.hostname);
	let head = '';
	const fail = (error) => { socket.destroy(); done(error); };
	const read = () => {
		for (let piece; (piece = socket.read()) !== null;) {
			head += piece.toString('latin1');
			const end = head.indexOf('\r\n\r\n');
			if (end < 0)
				continue;
			socket.removeListener('readable', read).removeListener('error', fail).removeListener('end', ended);
			const status = head.slice(0, head.indexOf('\r\n'));
			if (!/^HTTP\/1\.[01] 200/.test(status))
				return fail(new Error(`the proxy says: ${status.slice(13)}`));
			if (head.length > end + 4)
				socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'));
			return done(null, socket);
		}
	};
	const ended = () => fail(new Error('the proxy closed the connection'));
	const name = net.isIPv6(host) ? `[${host}]` : host;
	socket.on('error', fail).on('end', ended).on('readable', read);
	socket.write(`CONNECT ${name}:${port} HTTP/1.1\r\nHost: ${name}:${port}\r\n\r\n`);
}

function through(secure) {
	const module = secure ? https : http;
	return class extends module.Agent {
		createConnection(options, done) {
			const host = bare(options.host || options.hostname || 'localhost');
			if (isDirect(host) || options.socketPath)
				return super.createConnection(options, done);
			tunnel(host, options.port, (error, socket) => {
				if (error)
					return done(error);
				if (!secure)
					return done(null, socket);
				const name = options.servername || (net.isIP(host) ? undefined : host);
				done(null, tls.connect({ ...options, socket, servername: name }));
			});
		}
	};
}
http.globalAgent = new (through(false))({ keepAlive: true });
https.globalAgent = new (through(true))({ keepAlive: true });

// fetch is undici's; its dispatcher is found by this symbol. Loaded with the first call, since that takes a while.
const own = globalThis.fetch, place = Symbol.for('undici.globalDispatcher.1');
if (own) {
	let prepared = false;
	globalThis.fetch = function fetch(input, init) {
		if (!prepared) {
			prepared = true;
			try {
				const { ProxyAgent, Agent } = require('undici');
				const outside = new ProxyAgent({ uri: proxy.href, proxyTunnel: true }), inside = new Agent();
				const dispatch = outside.dispatch.bind(outside);
				outside.dispatch = (options, handler) => isDirect(bare(new URL(options.origin).hostname))
					? inside.dispatch(options, handler) : dispatch(options, handler);
				globalThis[place] = outside;
			} catch {
				// no undici to be had beside node's own: fetch stays as it is
			}
		}
		return own.call(this, input, init);
	};
}
