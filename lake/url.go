package lake

import "strings"

// urlParts are what analysts group by. They are cut from the address as it is, with nothing
// decoded, so that they join with it.
type urlParts struct{ host, path, query string }

// splitURL cuts an absolute address into its parts; one without a scheme is taken for a path.
func splitURL(url string) urlParts {
	url, _, _ = strings.Cut(url, "#")
	rest, query, _ := strings.Cut(url, "?")
	parts := urlParts{query: query}
	_, after, ok := strings.Cut(rest, "://")
	if !ok {
		parts.path = rest
		return parts
	}
	authority, path := after, "/"
	if at := strings.IndexByte(after, '/'); at >= 0 {
		authority, path = after[:at], after[at:]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	if at := strings.LastIndexByte(authority, ':'); at >= 0 && !strings.Contains(authority[at:], "]") {
		authority = authority[:at]
	}
	parts.host, parts.path = strings.ToLower(authority), path
	return parts
}
