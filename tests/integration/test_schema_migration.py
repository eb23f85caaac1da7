from agentflow.database import Database


async def test_the_migrated_database_answers(database: Database) -> None:
    await database.ping()
