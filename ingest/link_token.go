package ingest

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"crumbtrail/internal/token"
	"crumbtrail/schemas"
)

// What tokens of links and pixels are signed for: one does not pass for the other.
const (
	purposeLink = "link"
	purposeOpen = "open"
)

// tokenParameter is where a named link has its token.
const tokenParameter = "t"

// LinkPath is the path, below the collector's address, of a link that is made for one recipient: of
// a named link, which leads where the configuration says, or of one that holds its target itself.
func LinkPath(keys *token.Keys, l *schemas.SignedLink, expires time.Time) (string, error) {
	if l.Link == "" {
		if err := CheckTarget(l.Target); err != nil {
			return "", fmt.Errorf("target %q: %w", l.Target, err)
		}
	}
	text, err := signed(keys, purposeLink, l, expires)
	if err != nil {
		return "", err
	}
	if l.Link == "" {
		return "/l/" + text, nil
	}
	return "/r/" + url.PathEscape(l.Link) + "?" + tokenParameter + "=" + text, nil
}

// OpenPath is the path of a pixel that says that a recipient has opened a mail. It says nothing of
// an e-mail address: who loads a picture makes no contact.
func OpenPath(keys *token.Keys, l *schemas.SignedLink, expires time.Time) (string, error) {
	text, err := signed(keys, purposeOpen, &schemas.SignedLink{
		Site: l.Site, ContactId: l.ContactId, Campaign: l.Campaign,
	}, expires)
	return "/o/" + text + openSuffix, err
}

// openSuffix tells mail programs what the pixel is.
const openSuffix = ".gif"

func signed(
	keys *token.Keys, purpose string, l *schemas.SignedLink, expires time.Time,
) (string, error) {
	payload, err := l.MarshalVT()
	if err != nil {
		return "", fmt.Errorf("link: %w", err)
	}
	text := keys.Sign(purpose, expires, payload)
	if len(text) > token.MaxLength {
		return "", fmt.Errorf("link: %d characters are more than the %d that a token may have",
			len(text), token.MaxLength)
	}
	return text, nil
}

// Why a token says nothing.
const (
	ReasonTokenMalformed  = "token_malformed"
	ReasonTokenUnknownKey = "token_unknown_key"
	ReasonTokenForged     = "token_forged"
	ReasonTokenExpired    = "token_expired"
	// ReasonTokenMisplaced is of a token that was signed for another link.
	ReasonTokenMisplaced = "token_misplaced"
)

// opened reads a token; reason is empty where it is good.
func (c *Collector) opened(purpose, text string) (l *schemas.SignedLink, reason string) {
	payload, err := c.cfg.Keys.Open(purpose, text, time.Now())
	l = &schemas.SignedLink{}
	switch {
	case err == nil && l.UnmarshalVT(payload) == nil:
		return l, ""
	case errors.Is(err, token.ErrExpired):
		reason = ReasonTokenExpired
	case errors.Is(err, token.ErrForged):
		reason = ReasonTokenForged
	case errors.Is(err, token.ErrUnknownKey):
		reason = ReasonTokenUnknownKey
	default:
		reason = ReasonTokenMalformed
	}
	return nil, reason
}
