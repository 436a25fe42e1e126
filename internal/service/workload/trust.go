package workload

// Where an instance finds the certificates of Want.Trust: by themselves, and with the roots that the image trusts anyway.
const (
	TrustFile = "/run/awan-ca/ca.pem"
	RootsFile = "/run/awan-ca/roots.pem"
)

// TrustVariables are what programs read to find certificates: OpenSSL, Go, Python and Ruby the first, Python's requests (which
// brings roots of its own) the second, Node.js the third, which adds to its own.
func TrustVariables() map[string]string {
	return map[string]string{"SSL_CERT_FILE": RootsFile, "REQUESTS_CA_BUNDLE": RootsFile, "NODE_EXTRA_CA_CERTS": TrustFile}
}
