// Package schemas holds the nouns of crumbtrail: everything that passes over a topic, as protobuf,
// everything that passes the edge, as JSON Schema, and the names of the topics, their keys and
// their ids. It reads and writes nothing and imports no other room.
package schemas

//go:generate sh -c "cd .. && go tool -modfile=tools.mod buf generate && go tool -modfile=tools.mod buf generate --template buf.gen.hot.yaml --path schemas/crumbtrail/v1/beacon.proto"
