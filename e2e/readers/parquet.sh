#!/usr/bin/env bash
# Reads Parquet files by parquet-java: parquet.sh DIRECTORY LIST. It wants a JDK 17 and Maven, which
# brings the jars into ~/.m2 and DIRECTORY/jars; Readers.java says what it prints.
set -euo pipefail
dir=$1 list=$2 here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$dir"

cat >"$dir/pom.xml" <<XML
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>crumbtrail</groupId>
  <artifactId>readers</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.parquet</groupId>
      <artifactId>parquet-hadoop</artifactId>
      <version>1.18.1</version>
    </dependency>
    <dependency>
      <groupId>org.apache.hadoop</groupId>
      <artifactId>hadoop-client-api</artifactId>
      <version>3.4.2</version>
    </dependency>
    <dependency>
      <groupId>org.apache.hadoop</groupId>
      <artifactId>hadoop-client-runtime</artifactId>
      <version>3.4.2</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>1.7.36</version>
    </dependency>
  </dependencies>
</project>
XML
[ -d "$dir/jars" ] || mvn -q -B -C -f "$dir/pom.xml" \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$dir/jars" >"$dir/mvn.out" 2>&1 || { cat "$dir/mvn.out" >&2; exit 1; }
exec java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -Xmx512m -cp "$dir/jars/*" \
  "$here/Readers.java" "$list"
