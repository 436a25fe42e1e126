// Package secret holds the cloud's own small cryptography: its certificate authority, password hashes, random
// credentials, and the sealing of small secrets at rest.
//
// Only primitives of Go's standard library and Argon2id of golang.org/x/crypto are used. It may import the standard
// library, golang.org/x/crypto and kernel/fail; everything else may import it. Its files live in a directory that only
// the cloud's own user can read.
package secret
