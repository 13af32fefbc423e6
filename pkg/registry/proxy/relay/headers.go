package relay

import (
	"net/http"
	"strings"
)

const auditIDHeader = "Audit-Id"

// Headers that say who asks, or where he comes from: not the client's to say. Cookies are of this
// server.
var (
	notSent = []string{"Authorization", "Proxy-Authorization", "Cookie", "Cookie2", "Origin", "Referer", "Forwarded", "Via", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override", auditIDHeader}

	notSentPrefixes = []string{"Impersonate-", "X-Remote-", "X-Forwarded-", "Sec-Fetch-", "Access-Control-"}
)

// cleanRequest takes out of a request what the member is not told by the client.
func cleanRequest(header http.Header) {
	remove(header, notSent, notSentPrefixes)
}

// Headers of an answer that act beyond it in a browser, which takes this server for their origin.
var (
	notAnswered = []string{"Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Proxy-Authenticate", "Strict-Transport-Security", "Alt-Svc", "Clear-Site-Data", "Refresh", "Service-Worker-Allowed", "Report-To", "Reporting-Endpoints", "Nel", "Public-Key-Pins", "Expect-Ct", "Origin-Agent-Cluster", "Sourcemap", "Link", "X-Permitted-Cross-Domain-Policies"}

	notAnsweredPrefixes = []string{"Access-Control-", "Content-Security-Policy", "Cross-Origin-", "X-Content-Type-Options", "X-Frame-Options", http.TrailerPrefix}
)

// cleanAnswer takes out what would act in a browser in the name of this server, and has it run
// nothing of the body.
func cleanAnswer(header http.Header) {
	remove(header, notAnswered, notAnsweredPrefixes)
	Sandbox(header)
}

// Sandbox has a browser run nothing of an answer: it has what a member said in it.
func Sandbox(header http.Header) {
	header.Set("Content-Security-Policy", "sandbox")
	header.Set("X-Content-Type-Options", "nosniff")
}

// keepUpgradeHeaders leaves what an answer needs that changes the protocol.
func keepUpgradeHeaders(header http.Header) {
	for key := range header {
		switch {
		case key == "Upgrade", key == "Connection", key == "X-Stream-Protocol-Version", strings.HasPrefix(key, "Sec-Websocket-"):
		default:
			delete(header, key)
		}
	}
}

func remove(header http.Header, keys, prefixes []string) {
	for _, key := range keys {
		delete(header, key)
	}
	for key := range header {
		for _, prefix := range prefixes {
			// Keys that are not in the usual form pass the library as they are.
			if len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix) {
				delete(header, key)
			}
		}
	}
}
