// Package servingcert keeps a serving certificate that a cluster trusts, for a server that has
// several replicas, without cert-manager. It makes the authority and the certificate; who calls
// the server is told the authority by somebody else: package hostreg, which writes APIServices,
// or package cainjector, which writes webhooks.
//
// # Authorities
//
// The replicas share a Secret. Its keys are
//
//	authorities.pem  pairs of certificate and key, oldest first; there are one or two
//	ca.crt           the certificates alone: the caBundle of whoever calls the server
//
// Whoever finds no Secret makes one; the API server decides who was first. A Secret that is
// there and cannot be read is an error, and stays as it is: a server does not start, one that
// runs goes on with what it has and tries again. An authority lives a year. When two thirds
// have passed, one is added, which is trusted at once. It signs when eight days have passed, so
// that every replica and every agent of the tunnel has read it, and when Trusted has said that all callers were told of it.
// Expired ones are dropped. If somebody removes the Secret or puts other authorities into it,
// the one that signed what a replica serves is put back beside them: nobody may stop trusting
// what is still served.
//
// # Certificates
//
// The key of a serving certificate never leaves its process. The certificate lives thirty
// days, unless Config says otherwise, and is renewed when two thirds have passed, without a
// restart.
//
// The order is always the same: Ensure, then tell every caller the bundle that it returned,
// then Trusted. A process that ends in between begins anew with the oldest authority, which
// every caller was told of before. One goroutine calls Ensure and Trusted; the Certificate may
// be used by any.
package servingcert
