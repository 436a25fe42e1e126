package secret

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/awancloud/awan/internal/kernel/fail"
)

const (
	masterSize   = 32
	keyIDSize    = 8
	envelopeAES  = 1 // version 1: key derived from a master key, AES-256-GCM. A key service gets a version of its own.
	maxPlaintext = 1 << 20
)

// Sealer encrypts small secrets (keys, passwords, variables) before they are stored. Each project has a key of its
// own, derived from a master key in DIR/master.keys (0600): without that file the store tells nothing, so the file is
// backed up apart from it. Its methods are safe for concurrent use.
//
// Envelope, version 1: 1 byte version, 8 bytes master key id, 12 bytes nonce, ciphertext with a 16-byte tag.
type Sealer struct {
	masters map[[keyIDSize]byte][]byte
	current [keyIDSize]byte
	aeads   sync.Map // place -> cipher.AEAD: deriving a key costs more than using it
	kept    atomic.Int64
}

// place is whose key it is, under which master key.
type place struct {
	master  [keyIDSize]byte
	project string
}

// maxKept bounds the ciphers in memory: about 1 MiB.
const maxKept = 1000

// OpenSealer opens the master keys kept in dir, or makes the first there. The file has one key a line in hex; the last
// one seals, all of them open: a line added is a rotation.
func OpenSealer(dir string) (*Sealer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the key directory %s cannot be made", dir)
	}
	path := filepath.Join(dir, "master.keys")
	data, err := readPrivate(path)
	if absent(err) {
		master := make([]byte, masterSize)
		fill(master)
		data = []byte(hex.EncodeToString(master) + "\n")
		err = writeDurable(path, data, 0o600)
	}
	if err != nil {
		return nil, fail.Wrap(err, fail.Unavailable, "the master keys %s cannot be used", path)
	}
	s := &Sealer{masters: map[[keyIDSize]byte][]byte{}}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		master, err := hex.DecodeString(string(line))
		if err != nil || len(master) != masterSize {
			return nil, fail.New(fail.Precondition, "%s is damaged", path).Then("restore it from a backup")
		}
		s.current = keyID(master)
		s.masters[s.current] = master
	}
	if len(s.masters) == 0 {
		return nil, fail.New(fail.Precondition, "%s is empty", path).Then("restore it from a backup")
	}
	return s, nil
}

// Seal encrypts plaintext under project's key, bound to aad: it opens only with the same project and aad (the row and
// field it belongs to, say), so a sealed value cannot be moved to another place.
func (s *Sealer) Seal(project string, plaintext, aad []byte) ([]byte, error) {
	if len(plaintext) > maxPlaintext {
		return nil, fail.New(fail.TooLarge, "a sealed secret has at most %d bytes", maxPlaintext)
	}
	aead, err := s.aead(s.current, project)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 1+keyIDSize+aead.Overhead()+len(plaintext))
	out = append(out, envelopeAES)
	out = append(out, s.current[:]...)
	return aead.Seal(out, nil, plaintext, bind(out, project, aad)), nil
}

// Open decrypts what Seal made.
func (s *Sealer) Open(project string, sealed, aad []byte) ([]byte, error) {
	const header = 1 + keyIDSize
	if len(sealed) < header {
		return nil, fail.New(fail.Internal, "a sealed secret is cut short")
	}
	if sealed[0] != envelopeAES {
		return nil, fail.New(fail.Unsupported, "a secret was sealed by another version of the cloud (envelope %d)", sealed[0])
	}
	aead, err := s.aead([keyIDSize]byte(sealed[1:header]), project)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, sealed[header:], bind(sealed[:header], project, aad))
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "a sealed secret was changed, or belongs elsewhere")
	}
	return plain, nil
}

func (s *Sealer) aead(id [keyIDSize]byte, project string) (cipher.AEAD, error) {
	if a, ok := s.aeads.Load(place{id, project}); ok {
		return a.(cipher.AEAD), nil
	}
	master, ok := s.masters[id]
	if !ok {
		return nil, fail.New(fail.Precondition, "the master key %x is missing", id).Then("restore master.keys from a backup")
	}
	key, err := hkdf.Key(sha256.New, master, nil, "awan seal v1 project "+project, 32)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "no key for the project")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fail.Wrap(err, fail.Internal, "no cipher")
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	if s.kept.Add(1) > maxKept {
		s.aeads.Clear()
		s.kept.Store(1)
	}
	s.aeads.Store(place{id, strings.Clone(project)}, a)
	return a, nil
}

// bind makes the additional data: header, project and aad, each with its length, so that no two splits are alike.
func bind(header []byte, project string, aad []byte) []byte {
	var b []byte
	for _, part := range [][]byte{header, []byte(project), aad} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

func keyID(master []byte) (id [keyIDSize]byte) {
	sum := sha256.Sum256(append([]byte("awan master key id "), master...))
	copy(id[:], sum[:])
	return id
}
