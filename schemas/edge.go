package schemas

import (
	"embed"
	"fmt"
)

//go:embed *.schema.json
var edgeSchemas embed.FS

// EdgeSchema returns the JSON Schema (2020-12) of something that passes the edge: beacon, batch or
// submission.
func EdgeSchema(name string) ([]byte, error) {
	schema, err := edgeSchemas.ReadFile(name + ".schema.json")
	if err != nil {
		return nil, fmt.Errorf("schema %q: want beacon, batch or submission", name)
	}
	return schema, nil
}
