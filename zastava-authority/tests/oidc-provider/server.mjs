// A real Authority (oidc-provider) and a resource server (oauth4webapi) for the tests.
//
// Reads one line of JSON with what it should be, writes one line with its ports, then one answer
// line for each further line of JSON (a command). Ends with its standard input.

import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:https';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { Provider, errors } from 'oidc-provider';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as dpop from 'dpop';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const setup = JSON.parse((await lines.next()).value);
const tls = { ca: readFileSync(setup.ca), cert: readFileSync(setup.certificate), key: readFileSync(setup.key) };
const TOKEN_LIFE = 120;

const counts = { token: 0, api: 0, challenged: 0 };
let faults = [];
let rotation = null;

function listen() {
  const server = createServer({ ...tls, requestCert: true, rejectUnauthorized: false });
  return new Promise((resolve) => server.listen(0, 'localhost', () => resolve(server)));
}

const authority = await listen();
const api = await listen();
const url = (server) => `https://localhost:${server.address().port}`;
const issuer = url(authority);
const resource = url(api);

const signing = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
const jwk = { ...(await crypto.subtle.exportKey('jwk', signing.privateKey)), kid: 'k', alg: 'ES256', use: 'sig' };

const client = (client_id, extra) => ({
  client_id,
  redirect_uris: [],
  response_types: [],
  grant_types: ['client_credentials'],
  scope: 'events.write',
  id_token_signed_response_alg: 'ES256',
  ...extra,
});

// A recipe of docs/ops/authority.md, as it stands there.
const recipe = setup.recipe && new Function('randomBytes', `return (${setup.recipe})`)(randomBytes);

function provider() {
  const created = new Provider(issuer, recipe ? { ...recipe, jwks: { keys: [jwk] } } : {
    clients: [
      client('secret', { client_secret: setup.secret, token_endpoint_auth_method: 'client_secret_basic', dpop_bound_access_tokens: true }),
      client('bearer', { client_secret: setup.secret, token_endpoint_auth_method: 'client_secret_basic' }),
      client('assertion', { token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [setup.assertionKey] }, dpop_bound_access_tokens: true }),
      client('pki', { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'client.test', tls_client_certificate_bound_access_tokens: true }),
      client('pki-dpop', { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_san_dns: 'client.test', dpop_bound_access_tokens: true }),
      client('self-signed', { token_endpoint_auth_method: 'self_signed_tls_client_auth', jwks: { keys: [setup.selfSigned] }, tls_client_certificate_bound_access_tokens: true }),
    ],
    clientAuthMethods: ['client_secret_basic', 'private_key_jwt', 'self_signed_tls_client_auth', 'tls_client_auth'],
    jwks: { keys: [jwk] },
    scopes: ['events.write'],
    responseTypes: [],
    ttl: { ClientCredentials: TOKEN_LIFE },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      dPoP: setup.nonces === false
        ? { enabled: true }
        : { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo(ctx, indicator) {
          if (indicator !== resource) throw new errors.InvalidTarget();
          return { scope: 'events.write', audience: resource, accessTokenTTL: TOKEN_LIFE, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } };
        },
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (ctx) => ctx.socket.getPeerX509Certificate(),
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches(ctx, property, expected) {
          const names = ctx.socket.getPeerX509Certificate().subjectAltName ?? '';
          return property === 'tls_client_auth_san_dns' && names.split(', ').includes(`DNS:${expected}`);
        },
      },
      userinfo: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
    },
  });
  created.on('server_error', (ctx, error) => console.error('authority:', error));
  created.use(async (ctx, next) => {
    if (setup.dateOffsetSeconds) ctx.set('date', new Date(Date.now() + setup.dateOffsetSeconds * 1000).toUTCString());
    if (ctx.path !== '/token') return next();
    counts.token += 1;
    const fault = faults.shift();
    if (fault?.status) {
      ctx.status = fault.status;
      ctx.set(fault.headers ?? {});
      ctx.body = fault.body ?? '';
      return;
    }
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    await next();
    if (fault?.remove) delete ctx.body[fault.remove];
    if (fault?.replace) Object.assign(ctx.body, fault.replace);
  });
  return created.callback();
}

let callback = provider();
authority.on('request', (request, response) => callback(request, response));

// The newest nonce and the one before are taken.
let nonces = [];
const newNonce = () => { nonces = [randomBytes(12).toString('base64url'), ...nonces].slice(0, 2); };
newNonce();

const as = {
  issuer,
  jwks_uri: `${issuer}/jwks`,
};
const fetchAuthority = async () => Response.json({ keys: [{ kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y, kid: jwk.kid, alg: jwk.alg, use: jwk.use }] });

function answer(response, status, headers, body = '') {
  response.writeHead(status, { 'content-type': 'application/json', 'dpop-nonce': nonces[0], 'cache-control': 'no-store', ...headers });
  response.end(body);
}

const seen = new Set();
api.on('request', async (request, response) => {
  counts.api += 1;
  const proof = request.headers.dpop;
  if (proof !== undefined) {
    const claims = JSON.parse(Buffer.from(proof.split('.')[1] ?? '', 'base64url'));
    if (!nonces.includes(claims.nonce)) {
      counts.challenged += 1;
      return answer(response, 401, { 'www-authenticate': 'DPoP error="use_dpop_nonce", algs="ES256"' });
    }
    if (seen.has(claims.jti)) return answer(response, 401, { 'www-authenticate': 'DPoP error="invalid_dpop_proof"' });
    seen.add(claims.jti);
  }
  try {
    const received = new Request(`${resource}${request.url}`, { method: request.method, headers: new Headers(Object.entries(request.headers)) });
    // oauth4webapi knows no certificate-bound tokens.
    const claims = proof === undefined
      ? (await jose.jwtVerify(/^Bearer (.*)$/.exec(request.headers.authorization)[1], signing.publicKey, { issuer, audience: resource, typ: 'at+jwt' })).payload
      : await oauth.validateJwtAccessToken(as, received, resource, { [oauth.customFetch]: fetchAuthority });
    if (proof === undefined && claims.cnf?.jkt !== undefined) throw new Error('no proof');
    const bound = claims.cnf?.['x5t#S256'];
    const certificate = request.socket.getPeerX509Certificate();
    const shown = certificate && createHash('sha256').update(certificate.raw).digest('base64url');
    if (bound !== undefined && bound !== shown) throw new Error('another certificate');
    answer(response, 200, {}, JSON.stringify({ client: claims.client_id, cnf: claims.cnf ?? null, scope: claims.scope ?? null }));
  } catch (error) {
    answer(response, 401, { 'www-authenticate': 'DPoP error="invalid_token", algs="ES256"' }, JSON.stringify({ reason: `${error}` }));
  }
});

const commands = {
  counts: () => counts,
  faults: ({ list }) => { faults = list; return {}; },
  // The Authority forgets its nonces: those issued so far are wrong.
  newNonceSecret: () => { callback = provider(); return {}; },
  rotate({ everyMs }) {
    clearInterval(rotation);
    rotation = everyMs ? setInterval(newNonce, everyMs) : null;
    return {};
  },
  // A proof by somebody else's library.
  async proof({ htu, htm, nonce, accessToken }) {
    const pair = await dpop.generateKeyPair('ES256', { extractable: true });
    return { proof: await dpop.generateProof(pair, htu, htm, nonce, accessToken), jkt: await dpop.calculateThumbprint(pair.publicKey) };
  },
};

console.log(JSON.stringify({ issuer, resource }));
for await (const line of lines) {
  const command = JSON.parse(line);
  console.log(JSON.stringify(await commands[command.do](command)));
}
process.exit(0);
