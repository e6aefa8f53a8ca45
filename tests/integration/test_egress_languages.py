"""Programs of every language find the proxy by themselves, over HTTP and TLS; what they install comes through it too."""

import base64
import pathlib
import re
import socket

import pytest

from test_egress import Handler, certificate  # noqa: F401
from web import Web

pytestmark = pytest.mark.docker
# Go and Java use no proxy for 127.0.0.1 and localhost, whatever they are told: the servers go by the machine's own name.
NAME = socket.gethostname()
IMAGE = "celeriac-sandbox:full"

# Each prints what it gets from @URL@ (of HTTP) and from @TLS@, whose certificate is not known to it.
PROGRAMS = {
    "python": """
import requests, urllib.request, warnings
warnings.simplefilter("ignore")
print(urllib.request.urlopen("@URL@").read().decode())
print(requests.get("@TLS@", verify=False).text)
""",
    "javascript": """
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; process.removeAllListeners('warning'); process.on('warning', () => {});
const http = require('http'), https = require('https');
const get = (module, url) => new Promise((done, failed) => module.get(url, (answer) => {
	let text = ''; answer.on('data', (piece) => text += piece).on('end', () => done(text));
}).on('error', failed));
(async () => {
	console.log(await get(http, '@URL@'));
	console.log(await get(https, '@TLS@'));
	console.log(await (await fetch('@URL@')).text());
	console.log(await (await fetch('@TLS@')).text());
})();
""",
    "typescript": """
process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'; process.removeAllListeners('warning'); process.on('warning', () => {});
console.log(await (await fetch('@URL@')).text());
console.log(await (await fetch('@TLS@') as Response).text());
""",
    "java": """
import java.net.*; import java.net.http.*; import java.security.*; import java.security.cert.*; import javax.net.ssl.*;
class Main {
	public static void main(String[] args) throws Exception {
		TrustManager any = new X509ExtendedTrustManager() {
			public void checkClientTrusted(X509Certificate[] c, String a) {} public void checkServerTrusted(X509Certificate[] c, String a) {}
			public void checkClientTrusted(X509Certificate[] c, String a, Socket s) {} public void checkServerTrusted(X509Certificate[] c, String a, Socket s) {}
			public void checkClientTrusted(X509Certificate[] c, String a, SSLEngine e) {} public void checkServerTrusted(X509Certificate[] c, String a, SSLEngine e) {}
			public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
		};
		SSLContext tls = SSLContext.getInstance("TLS"); tls.init(null, new TrustManager[]{any}, null);
		HttpClient client = HttpClient.newBuilder().sslContext(tls).build();
		System.out.println(new String(new URI("@URL@").toURL().openStream().readAllBytes()));
		for (String url : new String[]{"@URL@", "@TLS@"})
			System.out.println(client.send(HttpRequest.newBuilder(new URI(url)).build(), HttpResponse.BodyHandlers.ofString()).body());
	}
}
""",
    "go": """
package main
import ("crypto/tls"; "fmt"; "io"; "net/http")
func main() {
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	for _, url := range []string{"@URL@", "@TLS@"} {
		r, err := http.Get(url)
		if err != nil { panic(err) }
		b, _ := io.ReadAll(r.Body)
		fmt.Println(string(b))
	}
}
""",
    "r": """
cat(readLines("@URL@", warn = FALSE), sep = "\\n")
f <- tempfile(); download.file("@TLS@", f, method = "libcurl", quiet = TRUE, extra = "")
cat(readLines(f, warn = FALSE), sep = "\\n")
""",
    "bash": """
curl -fsS @URL@; echo; curl -fsSk @TLS@; echo
""",
}


@pytest.fixture(scope="module")
def webs(certificate):  # noqa: F811
    assert socket.gethostbyname(NAME).startswith("127."), f"{NAME} is no name of the loopback address (/etc/hosts)"
    with Web(Handler) as plain, Web(Handler, certificate=certificate) as secure:
        yield plain, secure


@pytest.fixture(scope="module")
def house_outside(make_house, webs, engine):
    plain, secure = webs
    engine.load(IMAGE)
    return make_house(SANDBOX_IMAGE=IMAGE, EGRESS_ALLOW=f"sandbox:{NAME}:{plain.port},sandbox:{NAME}:{secure.port}")


@pytest.mark.parametrize("language", PROGRAMS)
def test_language(house_outside, webs, certificate, language):  # noqa: F811
    plain, secure = webs
    urls = {"URL": f"http://{NAME}:{plain.port}/{language}", "TLS": f"https://{NAME}:{secure.port}/{language}"}
    code = re.sub("@(URL|TLS)@", lambda found: urls[found.group(1)], PROGRAMS[language])
    env = {}
    if language == "r":  # libcurl's own way to trust a certificate
        env["CURL_CA_BUNDLE"] = "/sandbox/web.crt"
    files = [{"name": "web.crt", "content": base64.b64encode(pathlib.Path(certificate[0]).read_bytes()).decode()}]
    out = house_outside.calls.run(code, f"c-{language}", language=language, env=env, files=files, timeout=120)
    assert out["status"] == "ok" and out["stderr"] == "", out
    said = [line for line in out["stdout"].splitlines() if line]
    assert said and set(said) == {f"hello from /{language}"}, out
    assert any(path == f"/{language}" for _, path, _ in plain.seen) and any(path == f"/{language}" for _, path, _ in secure.seen)
