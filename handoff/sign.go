package handoff

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// secretPrefix begins a secret in text.
	secretPrefix = "whsec_"
	// leastSecret and mostSecret bound a secret, in bytes.
	leastSecret, mostSecret = 24, 64
)

// ParseSecret reads a secret: whsec_ and 24 to 64 bytes in base64.
func ParseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, errors.New("a secret begins with " + secretPrefix)
	}
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("what follows " + secretPrefix + " is no base64")
	}
	if len(secret) < leastSecret || len(secret) > mostSecret {
		return nil, fmt.Errorf("%d bytes are not %d to %d", len(secret), leastSecret, mostSecret)
	}
	return secret, nil
}

// sign is the webhook-signature of a request that is sent at a time, in seconds.
func sign(secret []byte, id string, at int64, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + strconv.FormatInt(at, 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
