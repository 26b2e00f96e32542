import java.io.IOException;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import org.apache.parquet.VersionParser;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.example.data.Group;
import org.apache.parquet.example.data.simple.convert.GroupRecordConverter;
import org.apache.parquet.hadoop.ParquetFileReader;
import org.apache.parquet.hadoop.metadata.BlockMetaData;
import org.apache.parquet.hadoop.metadata.ColumnChunkMetaData;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.LocalInputFile;
import org.apache.parquet.io.RecordReader;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.DecimalLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.IntLogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimestampLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.PrimitiveType;
import org.apache.parquet.schema.PrimitiveType.PrimitiveTypeName;
import org.apache.parquet.schema.Type;

/**
 * Reads Parquet files of the lake by parquet-java and prints what readers.py prints, and how many
 * chunks of a column have a least and a greatest value that it trusts, and how many have none, and
 * what wrote files, as far as it can tell:
 *
 *   statistics  TABLE COLUMN WITH WITHOUT
 *   writer      TABLE APPLICATION
 *
 * A column that a file lacks is NULL in all rows of it. Readers LIST
 */
public class Readers {
  /** What is known of the values of a column. */
  private static class Values {
    long rows;
    long nulls;
    BigInteger checksum = BigInteger.ZERO;
    long bounded;
    long unbounded;
  }

  private final TreeSet<String> columns = new TreeSet<>();
  private final TreeSet<String> writers = new TreeSet<>();
  private final Map<String, Values> values = new TreeMap<>();
  private final Map<String, Long> rows = new HashMap<>();
  private final MessageDigest md5;

  private Readers() throws GeneralSecurityException {
    md5 = MessageDigest.getInstance("MD5");
  }

  public static void main(String[] args) throws Exception {
    Map<String, List<Path>> tables = new HashMap<>();
    for (String line : Files.readAllLines(Path.of(args[0]))) {
      String[] parts = line.split("\t");
      tables.computeIfAbsent(parts[0], t -> new ArrayList<>()).add(Path.of(parts[1]));
    }
    Readers r = new Readers();
    for (Map.Entry<String, List<Path>> table : tables.entrySet()) {
      for (Path path : table.getValue()) {
        r.read(table.getKey(), path);
      }
    }
    r.columns.forEach(System.out::println);
    r.writers.forEach(System.out::println);
    r.values.forEach((column, v) -> {
      long all = r.rows.getOrDefault(column.substring(0, column.indexOf('\t')), 0L);
      long nulls = v.nulls + all - v.rows;
      System.out.println(
          String.join("\t", "values", column, "" + all, "" + nulls, "" + v.checksum));
      System.out.println(String.join("\t", "statistics", column, "" + v.bounded, "" + v.unbounded));
    });
  }

  private void read(String table, Path path) throws IOException {
    try (ParquetFileReader file = ParquetFileReader.open(new LocalInputFile(path))) {
      MessageType schema = file.getFooter().getFileMetaData().getSchema();
      for (Type column : schema.getFields()) {
        columns.add(String.join("\t", "column", table, column.getName(),
            "" + column.getId().intValue(), type(column.asPrimitiveType())));
        values.computeIfAbsent(table + "\t" + column.getName(), c -> new Values());
      }
      for (BlockMetaData block : file.getFooter().getBlocks()) {
        block.getColumns().forEach(chunk -> count(table, chunk));
      }
      writers.add("writer\t" + table + "\t"
          + writer(file.getFooter().getFileMetaData().getCreatedBy()));
      rows.merge(table, file.getRecordCount(), Long::sum);
      PageReadStore pages;
      while ((pages = file.readNextRowGroup()) != null) {
        RecordReader<Group> rows = new ColumnIOFactory().getColumnIO(schema)
            .getRecordReader(pages, new GroupRecordConverter(schema));
        for (long i = 0; i < pages.getRowCount(); i++) {
          add(table, schema, rows.read());
        }
      }
    }
  }

  private static String writer(String createdBy) {
    try {
      return VersionParser.parse(createdBy).application;
    } catch (VersionParser.VersionParseException e) {
      return "unknown";
    }
  }

  private void count(String table, ColumnChunkMetaData chunk) {
    Values v = values.get(table + "\t" + chunk.getPath().toDotString());
    if (chunk.getStatistics().hasNonNullValue()) {
      v.bounded++;
    } else if (chunk.getStatistics().getNumNulls() < chunk.getValueCount()) {
      v.unbounded++;
    }
  }

  private static String type(PrimitiveType column) {
    String physical = column.getPrimitiveTypeName().toString();
    if (column.getPrimitiveTypeName() == PrimitiveTypeName.BINARY) {
      physical = "BYTE_ARRAY";
    }
    LogicalTypeAnnotation logical = column.getLogicalTypeAnnotation();
    if (logical == null || logical instanceof IntLogicalTypeAnnotation i && i.isSigned()) {
      return physical;
    }
    if (logical instanceof TimestampLogicalTypeAnnotation t && t.isAdjustedToUTC()) {
      return physical + ", TIMESTAMP(" + t.getUnit() + ",UTC)";
    }
    if (logical instanceof DecimalLogicalTypeAnnotation d) {
      return physical + ", DECIMAL(" + d.getPrecision() + "," + d.getScale() + ")";
    }
    return physical + ", " + logical;
  }

  private void add(String table, MessageType schema, Group row) {
    for (int i = 0; i < schema.getFieldCount(); i++) {
      Values v = values.get(table + "\t" + schema.getFieldName(i));
      v.rows++;
      if (row.getFieldRepetitionCount(i) == 0) {
        v.nulls++;
        continue;
      }
      byte[] hash = md5.digest(value(schema.getType(i).asPrimitiveType(), row, i));
      v.checksum = v.checksum.add(BigInteger.valueOf(ByteBuffer.wrap(hash).getLong() >>> 4));
    }
  }

  /** The value as it is hashed everywhere. */
  private static byte[] value(PrimitiveType type, Group row, int i) {
    LogicalTypeAnnotation logical = type.getLogicalTypeAnnotation();
    String text = switch (type.getPrimitiveTypeName()) {
      case BINARY -> null;
      case DOUBLE -> new BigDecimal(Math.floor(Math.scalb(row.getDouble(i, 0), 52)))
          .toBigInteger().toString();
      default -> row.getValueToString(i, 0);
    };
    if (text == null) {
      return row.getBinary(i, 0).getBytes();
    }
    if (logical instanceof DecimalLogicalTypeAnnotation d) {
      text = new BigDecimal(new BigInteger(text), d.getScale()).toPlainString();
    }
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
