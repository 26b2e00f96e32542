package strictyaml

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
)

// fromJSON makes YAML of JSON, data itself where it is no JSON. Two escapes are not read as YAML: a
// character beyond U+FFFF as two surrogates, for which YAML has \U, and the slash. Lines stay.
func fromJSON(data []byte) []byte {
	if !bytes.ContainsRune(data, '\\') || !json.Valid(data) {
		return data
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); {
		switch r, ok := surrogates(data[i:]); {
		case ok:
			digits := strconv.FormatUint(uint64(r), 16)
			out = append(out, `\U00000000`[:10-len(digits)]...)
			out = append(out, digits...)
			i += 12
		case data[i] == '\\' && data[i+1] == '/':
			out = append(out, '/')
			i += 2
		case data[i] == '\\': // with what it escapes, which may be a backslash
			out = append(out, data[i], data[i+1])
			i += 2
		default:
			out = append(out, data[i])
			i++
		}
	}
	return out
}

// surrogates reads an escaped pair at the beginning of valid JSON.
func surrogates(data []byte) (r rune, ok bool) {
	if len(data) < 12 || data[0] != '\\' || data[1] != 'u' || data[6] != '\\' || data[7] != 'u' {
		return 0, false
	}
	high, err1 := strconv.ParseUint(string(data[2:6]), 16, 16)
	low, err2 := strconv.ParseUint(string(data[8:12]), 16, 16)
	if err1 != nil || err2 != nil {
		return 0, false
	}
	r = utf16.DecodeRune(rune(high), rune(low))
	return r, r != '\uFFFD'
}
