// Package token makes texts that a stranger may carry and nobody else can make, change or read:
// links in mails, for one recipient each. It reads and writes nothing but its arguments, and
// guarantees that what it opens was signed with one of its keys, for the same purpose, and has
// not expired.
//
// A token is base64url without padding of
//
//	version, 1 byte: 1
//	when it expires, seconds since the epoch, a varint
//	length of the key's id, 1 byte, and the id
//	initialisation vector, 16 random bytes
//	payload, AES-256 in counter mode
//	the first 16 bytes of HMAC-SHA256 over the purpose, a zero byte and all before
//
// A key's secret becomes its two keys by HKDF-SHA256, so that it may also be in use elsewhere.
package token

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Why a token is refused.
var (
	// ErrMalformed says that the text is no token.
	ErrMalformed = errors.New("malformed token")
	// ErrUnknownKey says that the key that signed it is not, or no longer, among the keys.
	ErrUnknownKey = errors.New("token of an unknown key")
	// ErrForged says that it was not signed with that key, not for this purpose, or was changed.
	ErrForged = errors.New("forged token")
	// ErrExpired says that it was good once.
	ErrExpired = errors.New("expired token")
)

const (
	// LeastSecret is the shortest that a secret may be, in bytes.
	LeastSecret = 32
	// MaxLength is the longest that a token is, in characters.
	MaxLength = 8192
	// maxID is the longest that a key's id is, in bytes.
	maxID = 16

	version  = 1
	ivBytes  = aes.BlockSize
	macBytes = 16
)

// Key is a secret with a name, which stands in the tokens that it signs.
type Key struct {
	ID     string
	Secret []byte
}

// Keys signs tokens with its first key and opens those of all its keys. A new key goes to the
// front, and an old one leaves once what it signed has expired. Its methods are for concurrent use.
type Keys struct {
	byID  map[string]*derived
	first *derived
}

// derived is what a key works with.
type derived struct {
	id    string
	mac   []byte
	block cipher.Block
}

// ValidID says whether a key may have this id: 1 to 16 letters, digits, hyphens and underscores.
func ValidID(id string) bool {
	for _, c := range []byte(id) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// NewKeys returns the keys of a list, at least one. Errors name no secret.
func NewKeys(list ...Key) (*Keys, error) {
	if len(list) == 0 {
		return nil, errors.New("keys: want at least one")
	}
	k := &Keys{byID: make(map[string]*derived, len(list))}
	for _, key := range list {
		switch {
		case !ValidID(key.ID):
			return nil, fmt.Errorf("key %q: want an id of 1 to %d letters, digits, - and _", key.ID, maxID)
		case len(key.Secret) < LeastSecret:
			return nil, fmt.Errorf("key %q: its secret has %d bytes, fewer than %d", key.ID,
				len(key.Secret), LeastSecret)
		case k.byID[key.ID] != nil:
			return nil, fmt.Errorf("key %q: there are two with this id", key.ID)
		}
		d, err := derive(key)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key.ID, err)
		}
		if k.byID[key.ID] = d; k.first == nil {
			k.first = d
		}
	}
	return k, nil
}

// Draw returns keys that nobody else has, for as long as the process runs.
func Draw() *Keys {
	secret := make([]byte, LeastSecret)
	_, _ = rand.Read(secret) // never fails, as documented
	keys, err := NewKeys(Key{ID: "drawn", Secret: secret})
	if err != nil {
		panic("draw keys: " + err.Error())
	}
	return keys
}

func derive(key Key) (*derived, error) {
	of := func(use string) ([]byte, error) {
		return hkdf.Key(sha256.New, key.Secret, nil, "crumbtrail token "+use, sha256.Size)
	}
	mac, err := of("signature")
	if err != nil {
		return nil, err
	}
	secret, err := of("payload")
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(secret)
	return &derived{id: key.ID, mac: mac, block: block}, err
}

// String is what may be printed of keys.
func (k *Keys) String() string { return fmt.Sprintf("%d keys, %s first", len(k.byID), k.first.id) }

// GoString is String.
func (k *Keys) GoString() string { return k.String() }

// Sign returns a token for a purpose, which Open must be told. It expires at a second between 1970
// and the year 9999. The purpose is a constant without a zero byte; the payload is what the bearer
// cannot read. A payload too long for MaxLength makes a token that Open refuses.
func (k *Keys) Sign(purpose string, expires time.Time, payload []byte) string {
	d := k.first
	raw := make([]byte, 0, 2+binary.MaxVarintLen64+len(d.id)+ivBytes+len(payload)+macBytes)
	raw = append(raw, version)
	raw = binary.AppendUvarint(raw, uint64(expires.Unix()))
	raw = append(append(raw, byte(len(d.id))), d.id...)
	iv := raw[len(raw) : len(raw)+ivBytes]
	_, _ = rand.Read(iv) // never fails, as documented
	raw = append(raw[:len(raw)+ivBytes], payload...)
	d.crypt(iv, raw[len(raw)-len(payload):])
	return base64.RawURLEncoding.EncodeToString(append(raw, d.sign(purpose, raw)...))
}

// crypt encrypts or decrypts in place.
func (d *derived) crypt(iv, text []byte) { cipher.NewCTR(d.block, iv).XORKeyStream(text, text) }

func (d *derived) sign(purpose string, raw []byte) []byte {
	mac := hmac.New(sha256.New, d.mac)
	mac.Write([]byte(purpose))
	mac.Write([]byte{0})
	mac.Write(raw)
	return mac.Sum(nil)[:macBytes]
}

// Open returns the payload of a token that was signed for a purpose, or one of this package's
// errors. A token is not believed before its signature is right: ErrExpired is about a real one.
func (k *Keys) Open(purpose, text string, now time.Time) (payload []byte, err error) {
	if len(text) > MaxLength || strings.ContainsAny(text, "\r\n") { // which the decoder skips
		return nil, ErrMalformed
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) == 0 || raw[0] != version {
		return nil, ErrMalformed
	}
	expires, n := binary.Uvarint(raw[1:])
	if n <= 0 || expires > maxExpiry || len(raw) < 1+n+1 {
		return nil, ErrMalformed
	}
	id := raw[1+n+1:]
	length := int(raw[1+n])
	if length > maxID || len(id) < length+ivBytes+macBytes {
		return nil, ErrMalformed
	}
	d := k.byID[string(id[:length])]
	if d == nil {
		return nil, ErrUnknownKey
	}
	signed, mac := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	if !hmac.Equal(mac, d.sign(purpose, signed)) {
		return nil, ErrForged
	}
	if now.Unix() >= int64(expires) {
		return nil, ErrExpired
	}
	sealed := id[length : len(id)-macBytes]
	d.crypt(sealed[:ivBytes], sealed[ivBytes:])
	return sealed[ivBytes:], nil
}

// maxExpiry is the end of the year 9999, in seconds since the epoch.
const maxExpiry = 253_402_300_799
