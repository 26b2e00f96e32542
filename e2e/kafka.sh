#!/usr/bin/env bash
# One real Kafka broker for tests, in the foreground: kafka.sh DIRECTORY PORT. It keeps its data in
# DIRECTORY, listens on 127.0.0.1:PORT (PORT+1 for its controller), and wants a JDK 17 and Maven,
# which brings Kafka's jars into ~/.m2 and DIRECTORY/jars.
set -euo pipefail
dir=$1 port=$2 version=${KAFKA_VERSION:-4.4.0}
mkdir -p "$dir"
cd "$dir"

cat >pom.xml <<XML
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>crumbtrail</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$version</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
XML
[ -d jars ] || mvn -q -B -f pom.xml \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DoutputDirectory=jars

# One node is broker and controller; the inner topics must not wait for replicas that never come, nor
# a test of killed group members for the 6 s that Kafka asks for.
cat >server.properties <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$PWD/log
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
PROPERTIES

export CLASSPATH="$PWD/jars/*"
kafka() { java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"; }
if [ ! -e log/meta.properties ]; then
  kafka kafka.tools.StorageTool format -c server.properties \
    -t "$(kafka kafka.tools.StorageTool random-uuid)" >format.out
fi
# What becomes of a transaction's markers is told at info.
markers=kafka.coordinator.transaction.TransactionMarkerChannelManager
exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "-Dorg.slf4j.simpleLogger.log.$markers=info" \
  -Xmx1g kafka.Kafka server.properties
