// server.js - an HTTP server with timers and work for libuv's threads, for node.sh
'use strict';
const http = require('http');
const crypto = require('crypto');

let count = 0, ticks = 0, warm = 0;
setInterval(() => { ticks++; }, 50);
// Enough of the same for the compiler to make machine code of it.
function mix(n) {
	let h = 2166136261;
	for (let i = 0; i < n; i++)
		h = Math.imul(h ^ (i & 255), 16777619) >>> 0;
	return h;
}
http.createServer((request, response) => {
	const answer = (text) => response.end(String(text) + '\n');
	response.setHeader('Content-Type', 'text/plain');
	response.sendDate = false;
	const send = (text) => {
		response.setHeader('Content-Length', Buffer.byteLength(String(text) + '\n'));
		answer(text);
	};
	warm = mix(20000);
	switch (request.url) {
	case '/count': send(++count); break;
	case '/ticks': send(ticks); break;
	case '/mix': send(warm); break;
	case '/hash':
		crypto.pbkdf2('secret', 'salt', 20000, 16, 'sha256', (error, key) => send(error || key.toString('hex')));
		break;
	default: send('?');
	}
}).listen(Number(process.argv[2]), '127.0.0.1');
